#!/usr/bin/env bash
# Measures the shipped edge beside nginx, and the control plane's store beside bare inserts, on this machine and
# prints the figures: docs/benchmarks.md says how and why. Of the edge's part servers have core 0, the generator
# has core 1. Environment:
#   ONLY=edge or ONLY=store (one part alone)
#   ROUNDS, DURATION (s of each run of the edge), CONNECTIONS
#   STORE_ARGS (more for `loadtest store`, e.g. "--batches 4 --reports 20")
#   OUT (directory for the figures as JSON)
#   PROFILE=1 (also says where the edge's CPU time goes; needs perf, Debian's linux-perf)
#   BENCH_DIR (where the edge's spool and nginx's logs are written: the disk that is measured)
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-8} seconds=${DURATION:-3} connections=${CONNECTIONS:-256}
bin="${CARGO_TARGET_DIR:-target}/dist"
out=${OUT:-${CARGO_TARGET_DIR:-target}/bench}
say() { printf '\n== %s\n' "$*"; }
die() { echo "bench: $*" >&2; exit 1; }
wanted() { [ "${ONLY:-$1}" = "$1" ]; }
case "${ONLY:-}" in '' | edge | store) ;; *) die "ONLY is edge or store, not $ONLY" ;; esac

# Packages this needs and a plain Debian may lack. RUNLEVEL=1 keeps apt from starting an nginx of its own.
install_missing() {
  local missing=() as_root=()
  if wanted edge; then
    command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    command -v curl > /dev/null || missing+=(curl)
  fi
  if wanted store; then
    command -v initdb > /dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || missing+=(postgresql)
  fi
  command -v taskset > /dev/null || missing+=(util-linux)
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get > /dev/null || die "install ${missing[*]} and run this again"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null || die "as root, run: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]} with apt-get ..." >&2
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

[ "$(nproc)" -ge 2 ] || die "one core for the servers and one for the generator are needed"
install_missing
nginx=$(command -v nginx || echo /usr/sbin/nginx)
if [ -z "${NO_BUILD:-}" ]; then
  echo "Building as shipped (fat LTO: takes minutes) ..." >&2
  cargo build --locked --profile dist -p tributary -p edge -p loadtest -p control-plane-testing
fi

mkdir -p "$out" "${BENCH_DIR:-$out}"
# Not /tmp, which may be memory: an fsync there costs nothing.
dir=$(mktemp -d "$(cd "${BENCH_DIR:-$out}" && pwd)/run.XXXXXX")
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
  rm -rf "$dir"
}
trap stop EXIT

# wait_for SECONDS PID LOG COMMAND...: until the command succeeds.
wait_for() {
  local left=$(($1 * 20)) pid=$2 log=$3
  shift 3
  until "$@" > /dev/null 2>&1; do
    kill -0 "$pid" 2> /dev/null || { cat "$log" >&2; die "a server did not start"; }
    left=$((left - 1))
    [ "$left" -gt 0 ] || { cat "$log" >&2; die "gave up waiting for: $*"; }
    sleep 0.05
  done
}

say "This machine"
echo "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; Linux $(uname -r)"
echo "commit $(git rev-parse --short HEAD 2> /dev/null || echo unknown); $(rustc --version)"
echo "files on $(stat -f -c %T "$dir"), $(df --output=source "$dir" | tail -n 1); load $(cut -d ' ' -f 1-3 /proc/loadavg)"

# ---- the store: SQLite, then a PostgreSQL that means its commits
measure_store() {
  local name=$1
  shift
  # shellcheck disable=SC2086
  "$bin/loadtest" store --rounds "$rounds" --json "$out/store-$name.json" ${STORE_ARGS:-} "$@" \
    2> >(tee "$out/store-$name.log" >&2)
}
if wanted store; then
  say "Store on SQLite"
  measure_store sqlite --database "sqlite://$dir/ours.db" --other "sqlite://$dir/bare.db"
  rm -f "$dir"/*.db*

  # PostgreSQL runs as a user of its own, who must get in.
  chmod 711 "$dir"
  mkdir -m 777 "$dir/postgres"
  mkfifo "$dir/keep"
  "$bin/control-plane-testing" --in "$dir/postgres" --databases 2 --set fsync=on --set full_page_writes=on \
    --set shared_buffers=512MB --set max_wal_size=4GB < "$dir/keep" > "$dir/urls" 2> "$dir/postgres.log" &
  postgres=$!
  exec 3> "$dir/keep"
  pids+=("$postgres")
  two_urls() { [ "$(wc -l < "$dir/urls")" -eq 2 ]; }
  wait_for 60 "$postgres" "$dir/postgres.log" two_urls
  { read -r ours; read -r other; } < "$dir/urls"
  say "Store on PostgreSQL, fsync and synchronous_commit on"
  measure_store postgres --database "$ours" --other "$other"
  exec 3>&-
  wait "$postgres" || true
fi
wanted edge || exit 0

# ---- the control plane makes the tenant, the offer and its link, and lets the edge in
taskset -c 1 "$bin/tributary" control-plane run --data-dir "$dir/control" --listen 127.0.0.1:0 \
  --grpc-listen 127.0.0.1:0 --new-operator-key --output json > "$dir/control.ready" 2> "$dir/control.log" &
control=$!
pids+=("$control")
wait_for 30 "$control" "$dir/control.log" test -s "$dir/control.ready"
field() { grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | sed 's/.*"\([^"]*\)"$/\1/'; }
api=$(field api_url < "$dir/control.ready")
key=$(field operator_key < "$dir/control.ready")
post() {
  local reply
  reply=$(curl -sS --fail-with-body -X POST "$api$1" -H "Authorization: Bearer $key" \
    -H 'Content-Type: application/json' -d "$2") || die "the control plane refused $1: $reply"
  echo "$reply"
}
id() { post "$@" | field id; }

post /v1/edges/join-bundles '{"name":"bench"}' > "$dir/bundle.json"
tenant=$(id /v1/tenants '{"name":"Bench"}')
key=$(post /v1/api-keys "{\"tenant_id\":\"$tenant\",\"name\":\"bench\"}" | field secret)
advertiser=$(id /v1/advertisers '{"name":"Robots"}')
program=$(id /v1/programs "{\"advertiser_id\":\"$advertiser\",\"name\":\"Main\"}")
offer=$(id /v1/offers "{\"program_id\":\"$program\",\"name\":\"Mower\",\"destination\":\"https://shop.example/mower\",
  \"terms\":{\"window_days\":30,\"goals\":[{\"goal\":\"sale\",\"percentage\":\"0.1\"}],\"hold\":{\"until_delivered\":true,\"days\":30}}}")
partner=$(id /v1/partners '{"name":"Blog"}')
link=$(id /v1/links "{\"offer_id\":\"$offer\",\"partner_id\":\"$partner\"}")
# Rules that are looked at for every hit and never match: what an honest shopper meets.
post /v1/rule-sets '{"rules":[
  {"id":"office","action":"allow","when":{"field":"ip","in":["10.0.0.0/8","192.0.2.0/24"]}},
  {"id":"crawlers","action":"block","when":{"field":"device","eq":"crawler"}},
  {"id":"scripts","action":"block","when":{"any":[{"field":"user_agent","contains":"curl/"},{"field":"user_agent","contains":"python"}]}},
  {"id":"watched","action":"flag","when":{"all":[{"field":"country","in_set":"watched"},{"field":"hour","le":23}]}}
 ],"sets":[{"name":"watched","values":["ZZ","AQ","BV"]}]}' > /dev/null

# ---- the edge. Every limit is on; the generator claims another address in each request, as a proxy would.
"$bin/loadtest" geo "$dir/geo.mmdb"
cat > "$dir/edge.toml" << EOF
data_dir = "$dir/edge"
listen = "127.0.0.1:0"
workers = 1
trusted_proxies = ["127.0.0.0/8"]
geo_database = "$dir/geo.mmdb"
[rate_limit]
per_second = 1000000
burst = 1000000
[spool]
max_bytes = 17179869184
EOF
field bundle < "$dir/bundle.json" |
  "$bin/tributary-edge" enroll --config "$dir/edge.toml" --bundle-file - > /dev/null
taskset -c 0 "$bin/tributary-edge" run --config "$dir/edge.toml" 2> "$dir/edge.log" &
edge=$!
pids+=("$edge")
wait_for 30 "$edge" "$dir/edge.log" grep -q 'answering hits' "$dir/edge.log"
edge_url=http://$(sed -n 's/.*answering hits.*address=\([0-9.:]*\).*/\1/p' "$dir/edge.log")
click() { curl -s -o /dev/null -D - -A bench "$@" "$edge_url/c/$link"; }
# HEAD, since that is no click.
link_works() { click --head | grep -q '^HTTP/1.1 302'; }
wait_for 30 "$edge" "$dir/edge.log" link_works
location=$(click | tr -d '\r' | sed -n 's/^location: //p')
click_id=${location#*click_id=}

# ---- nginx, with its log as it is by default, and with a buffered one
start_nginx() {
  port=$((20000 + RANDOM % 20000))
  sed "s|@DIR@|$dir|g; s|@PORT@|$port|g; s|@BUFFERED@|$((port + 1))|g; s|@LOCATION@|$location|g" \
    loadtest/nginx.conf > "$dir/nginx.conf"
  taskset -c 0 "$nginx" -c "$dir/nginx.conf" -p "$dir" 2> "$dir/nginx.log" &
  master=$!
  for _ in $(seq 60); do
    if curl -sf -o /dev/null "http://127.0.0.1:$port/pixel.gif"; then pids+=("$master"); return 0; fi
    kill -0 "$master" 2> /dev/null || break
    sleep 0.05
  done
  return 1
}
start_nginx || start_nginx || start_nginx || { cat "$dir/nginx.log" >&2; die "nginx did not start"; }
worker=$(tr -d ' ' < "/proc/$master/task/$master/children")
plain=http://127.0.0.1:$port buffered=http://127.0.0.1:$((port + 1))

say "Edge"
echo "$("$nginx" -v 2>&1); $("$bin/tributary" --version)"

# What sending to the control plane costs the edge: the same clicks with it and without it. It shares the
# generator's core, so only the edge's CPU time is compared.
ticks() { sed 's/.*) //' "/proc/$edge/stat" | awk '{ print $12 + $13 }'; }
per_click() {
  local before=$(($(ticks)))
  taskset -c 1 "$bin/loadtest" run --url "$edge_url/c/$link" --rate 2000 --seconds "$1" \
    --connections 64 --forwarded > "$dir/forward.txt" || true
  sleep 1
  echo "$(ticks) $before $((2000 * $1))" | awk '{ printf "%.1f", ($1 - $2) * 10000 / $3 }'
}
say "Edge at 2000 clicks a second, CPU-us a click"
echo "control plane connected: $(per_click 10)"
kill "$control" && wait "$control" || true
echo "control plane away:      $(per_click 10)"

# From here on the edge is alone, as in an outage: the generator has its core for itself, and the spool fills.
compare() {
  local name=$1
  shift
  taskset -c 1 "$bin/loadtest" compare --rounds "$rounds" --seconds "$seconds" --connections "$connections" \
    --forwarded --sync-dir "$dir" --json "$out/$name.json" "$@" 2> >(tee "$out/$name.log" >&2)
}
profile() {
  [ -n "${PROFILE:-}" ] || return 0
  say "Where the time goes: $1"
  taskset -c 1 "$bin/loadtest" run --url "$2" --peak --seconds 7 --connections "$connections" --forwarded > "$dir/profile.txt" &
  local load=$!
  sleep 1
  perf record -q -F 999 -o "$dir/perf.data" -p "$edge" -- sleep 5 > "$dir/perf.log" 2>&1 || cat "$dir/perf.log" >&2
  wait "$load" || true
  perf report -i "$dir/perf.data" --stdio --sort comm > "$out/$1.profile" 2> /dev/null || true
  perf report -i "$dir/perf.data" --stdio --sort comm,dso,symbol --percent-limit 0.4 >> "$out/$1.profile" 2> /dev/null || true
  grep -v '^#' "$out/$1.profile" | grep -v '^$' | head -n 60 || true
}
redirect_url=$edge_url/c/$link
pixel_url="$edge_url/p/$advertiser.gif?click_id=$click_id&order_id={n}&amount=19.90&currency=EUR"

say "Redirect: GET /c/{link}, on disk before the 302"
compare redirect --peer "edge=$redirect_url,$edge" \
  --peer "nginx=$plain/302,$worker" --peer "nginx-buffered=$buffered/302,$worker"
say "Pixel: a conversion, on disk before the GIF"
compare pixel --peer "edge=$pixel_url,$edge" \
  --peer "nginx=$plain/pixel.gif,$worker" --peer "nginx-buffered=$buffered/pixel.gif,$worker"
profile redirect "$redirect_url"
profile pixel "$pixel_url"
echo "All figures of all rounds: $out/*.json" >&2
