# shellcheck shell=bash
# Part of bench.sh: the servers that are measured, up and ready.

# ---- the control plane makes the tenant, the offer and its link, and lets the edge in
# start_control API GRPC ARGUMENTS...
start_control() {
  rm -f "$dir/control.ready"
  taskset -c 1 "$bin/tributary" control-plane run --data-dir "$dir/control" --listen "$1" --grpc-listen "$2" \
    --output json "${@:3}" > "$dir/control.ready" 2> "$dir/control.log" &
  control=$!
  pids+=("$control")
  wait_for 30 "$control" "$dir/control.log" test -s "$dir/control.ready"
}
stop_control() { kill "$control" && wait "$control" || true; }
field() { grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | sed 's/.*"\([^"]*\)"$/\1/'; }
start_control 127.0.0.1:0 127.0.0.1:0 --new-operator-key
api=$(field api_url < "$dir/control.ready")
grpc=$(field grpc_url < "$dir/control.ready")
operator=$(field operator_key < "$dir/control.ready")
key=$operator
post() {
  local reply
  reply=$(curl -sS --fail-with-body -X POST "$api$1" -H "Authorization: Bearer $key" \
    -H 'Content-Type: application/json' -d "$2") || die "the control plane refused $1: $reply"
  echo "$reply"
}
id() { post "$@" | field id; }

post /v1/edges/join-bundles '{"name":"bench"}' > "$dir/bundle.json"
# open_shop NAME: a tenant with one link; sets its key, advertiser, token and link.
open_shop() {
  local tenant program offer partner made
  key=$operator
  tenant=$(id /v1/tenants "{\"name\":\"$1\"}")
  key=$(post /v1/api-keys "{\"tenant_id\":\"$tenant\",\"name\":\"bench\"}" | field secret)
  made=$(post /v1/advertisers '{"name":"Robots"}')
  advertiser=$(field id <<< "$made") token=$(field postback_token <<< "$made")
  program=$(id /v1/programs "{\"advertiser_id\":\"$advertiser\",\"name\":\"Main\"}")
  offer=$(id /v1/offers "{\"program_id\":\"$program\",\"name\":\"Mower\",\"destination\":\"https://shop.example/mower\",
    \"terms\":{\"window_days\":30,\"goals\":[{\"goal\":\"sale\",\"percentage\":\"0.1\"}],\"hold\":{\"until_delivered\":true,\"days\":30}}}")
  partner=$(id /v1/partners '{"name":"Blog"}')
  link=$(id /v1/links "{\"offer_id\":\"$offer\",\"partner_id\":\"$partner\"}")
}
open_shop Bench
# Rules that are looked at for every hit and never match: what an honest shopper meets.
post /v1/rule-sets '{"rules":[
  {"id":"office","action":"allow","when":{"field":"ip","in":["10.0.0.0/8","192.0.2.0/24"]}},
  {"id":"crawlers","action":"block","when":{"field":"device","eq":"crawler"}},
  {"id":"scripts","action":"block","when":{"any":[{"field":"user_agent","contains":"curl/"},{"field":"user_agent","contains":"python"}]}},
  {"id":"watched","action":"flag","when":{"all":[{"field":"country","in_set":"watched"},{"field":"hour","le":23}]}}
 ],"sets":[{"name":"watched","values":["ZZ","AQ","BV"]}]}' > /dev/null

# ---- the edge. Every limit is on; the generator claims other addresses, as a proxy would.
free_port() {
  local port
  while :; do
    # Below the ports that outgoing connections take.
    port=$((20000 + RANDOM % 12000))
    (exec 4<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo "$port"; return; }
  done
}
# Whether the edge's binary has this setting: "tls" or "admin_listen".
knows() { "$bin/tributary-edge" config | grep -qE "^(# )?(\[$1\]|$1 = )"; }

"$bin/loadtest" geo "$dir/geo.mmdb"
"$bin/loadtest" certificate "$dir"
edge_url=http://127.0.0.1:$(free_port)
edge_tls=https://127.0.0.1:$(free_port)
{
  cat << EOF
data_dir = "$dir/edge"
listen = "${edge_url#http://}"
workers = 1
trusted_proxies = ["127.0.0.0/8"]
geo_database = "$dir/geo.mmdb"
EOF
  if knows admin_listen; then echo 'admin_listen = "off"'; fi
  cat << EOF
[rate_limit]
per_second = 1000000
burst = 1000000
[spool]
max_bytes = 17179869184
EOF
  if knows tls; then
    cat << EOF
[tls]
listen = "${edge_tls#https://}"
certificate = "$dir/certificate.pem"
key = "$dir/key.pem"
EOF
  fi
} > "$dir/edge.toml"
field bundle < "$dir/bundle.json" |
  "$bin/tributary-edge" enroll --config "$dir/edge.toml" --bundle-file - > /dev/null

start_edge() {
  : > "$dir/edge.log"
  taskset -c 0 "$bin/tributary-edge" run --config "$dir/edge.toml" 2> "$dir/edge.log" &
  edge=$!
  pids+=("$edge")
  wait_for 30 "$edge" "$dir/edge.log" grep -q 'answering hits' "$dir/edge.log"
}
stop_edge() { kill "$edge" && wait "$edge" || true; }
click() { curl -s -o /dev/null -D - -A bench "$@" "$edge_url/c/$link"; }
# HEAD, since that is no click.
link_works() { click --head | grep -q '^HTTP/1.1 302'; }
start_edge
wait_for 30 "$edge" "$dir/edge.log" link_works
# One click: sets where it leads to, and its id.
click_once() {
  location=$(click | tr -d '\r' | sed -n 's/^location: //p')
  click_id=${location#*click_id=}
}
click_once

# ---- nginx: its log as it is by default, buffered, off; and in TLS, with the default log
nginx_url=http://127.0.0.1:$(free_port) nginx_buffered=http://127.0.0.1:$(free_port)
nginx_off=http://127.0.0.1:$(free_port) nginx_tls=https://127.0.0.1:$(free_port)
sed "s|@DIR@|$dir|g; s|@PLAIN@|${nginx_url#*//}|g; s|@BUFFERED@|${nginx_buffered#*//}|g; \
  s|@OFF@|${nginx_off#*//}|g; s|@TLS@|${nginx_tls#*//}|g; s|@LOCATION@|$location|g" loadtest/nginx.conf > "$dir/nginx.conf"
start_nginx() {
  taskset -c 0 "$nginx" -c "$dir/nginx.conf" -p "$dir" 2> "$dir/nginx.log" &
  local master=$!
  pids+=("$master")
  wait_for 3 "$master" "$dir/nginx.log" curl -sf -o /dev/null "$nginx_url/pixel.gif"
  worker=$(tr -d ' ' < "/proc/$master/task/$master/children")
}

# ---- hyper, which does nothing but answer: the limit of whatever is built on it
start_bare() {
  taskset -c 0 "$bin/loadtest" bare --location "$location" > "$dir/bare.url" 2> "$dir/bare.log" &
  bare=$!
  pids+=("$bare")
  wait_for 3 "$bare" "$dir/bare.log" test -s "$dir/bare.url"
  bare_url=$(< "$dir/bare.url")
}
