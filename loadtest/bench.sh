#!/usr/bin/env bash
# Measures the shipped edge beside nginx, its spool beside a raw log and sled, and the control plane's store beside
# bare inserts, on this machine and prints the figures: docs/benchmarks.md says how and why. Of the edge's part
# servers have core 0, the generator has core 1. Environment:
#   ONLY=spool, ONLY=store or ONLY=edge (one part alone), or some of the edge's: ONLY="redirect h2". They are: lag
#     backlog forward start idle redirect pixel sweep each tls-full tls-resumed h2 h3 flood
#   ROUNDS, DURATION (s of each run of the edge), CONNECTIONS, IDLE (connections of the section of that name),
#     BACKLOG (clicks of the section of that name)
#   STORE_ARGS (more for `loadtest store`, e.g. "--batches 4 --reports 20")
#   OUT (directory for the figures as JSON; what an earlier run left in it goes)
#   BIN (directory of binaries that are built already; those of a debug build show that all works, and nothing else)
#   PROFILE=1 (also says where the edge's CPU time goes; needs perf, Debian's linux-perf)
#   BENCH_DIR (where the edge's spool and nginx's logs are written: the disk that is measured)
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-8} seconds=${DURATION:-3} connections=${CONNECTIONS:-256}
bin=${BIN:-${CARGO_TARGET_DIR:-target}/dist}
out=${OUT:-${CARGO_TARGET_DIR:-target}/bench}
of_the_edge="lag backlog forward start idle redirect pixel sweep each tls-full tls-resumed h2 h3 flood"
say() { printf '\n== %s (%d min in)\n' "$*" $((SECONDS / 60)); }
die() { echo "bench: $*" >&2; exit 1; }
has() { [[ " $1 " == *" $2 "* ]]; }
only=${ONLY:-spool store $of_the_edge}
# shellcheck disable=SC2086
only=$(printf ' %s ' $only)
only=${only/ edge / $of_the_edge }
for name in $only; do has "spool store $of_the_edge" "$name" || die "ONLY is edge, spool, store or one of: $of_the_edge"; done
wanted() { has "$only" "$1"; }
edge_wanted() { for name in $only; do has "spool store" "$name" || return 0; done; return 1; }

# Packages this needs and a plain Debian may lack. RUNLEVEL=1 keeps apt from starting an nginx of its own.
install_missing() {
  local missing=() as_root=()
  if edge_wanted; then
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
if [ -z "${NO_BUILD:-}${BIN:-}" ]; then
  echo "Building as shipped (fat LTO: takes minutes) ..." >&2
  cargo build --locked --profile dist -p tributary -p edge -p loadtest -p control-plane-testing
fi

# As many open files as one may have: idle connections are counted in thousands.
ulimit -n "$(ulimit -Hn)" || true
mkdir -p "$out" "${BENCH_DIR:-$out}"
rm -f "$out"/*.json
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

machine="$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; Linux $(uname -r); \
commit $(git rev-parse --short HEAD 2> /dev/null || echo unknown); $(rustc --version)"
say "This machine"
echo "$machine"
echo "files on $(stat -f -c %T "$dir"), $(df --output=source "$dir" | tail -n 1); load $(cut -d ' ' -f 1-3 /proc/loadavg)"

# ---- the log that replies wait for
if wanted spool; then
  say "Spool beside a raw log and sled"
  "$bin/loadtest" spool --dir "$dir" --rounds "$rounds" --json "$out/spool.json" 2> >(tee "$out/spool.log" >&2)
fi

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
edge_wanted || exit 0

# shellcheck source=loadtest/bench/servers.sh
source loadtest/bench/servers.sh
# shellcheck source=loadtest/bench/sections.sh
source loadtest/bench/sections.sh

say "All of it"
"$bin/loadtest" summary "$out" --about "$machine" --json "$out/summary.json"
echo "All figures of all rounds: $out/*.json" >&2
