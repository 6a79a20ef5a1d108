# shellcheck shell=bash
# Part of bench.sh: what is measured, one section after the other. `wanted` says which.

say "Edge"
echo "$("$nginx" -v 2>&1); $("$bin/tributary" --version)"

# From a click's answer to the report, with edge and control plane each on its core.
if wanted lag; then
  say "Lag: 200 clicks a second, from the answer until the reports count them"
  TRIBUTARY_API_KEY=$key "$bin/loadtest" lag --url "$edge_url/c/$link" --api "$api" --json "$out/lag.json"
fi

# measure_backlog NAME [stop_edge start_edge]: clicks while the control plane is away, of a tenant that has no others;
# what is named is done with the edge meanwhile; then the control plane comes back, and sales are reported.
measure_backlog() {
  local name=$1 clicks=${BACKLOG:-1000000} rate bench=("$key" "$advertiser" "$link" "$location" "$click_id")
  shift
  open_shop "Backlog $name"
  wait_for 30 "$edge" "$dir/edge.log" link_works
  click_once
  stop_control
  # In 100 s, but never slower than 1,000 a second.
  rate=$((clicks > 100000 ? clicks / 100 : 1000))
  taskset -c 1 "$bin/loadtest" run --url "$edge_url/c/$link" --rate "$rate" --seconds $(((clicks + rate - 1) / rate)) \
    --connections 64 --crowd passing --expect redirect --output json > "$dir/backlog.json" || true
  clicks=$(sed -n 's/.*"answered":\([0-9]*\).*/\1/p' "$dir/backlog.json")
  for step in "$@"; do "$step"; done
  start_control "${api#*//}" "${grpc#*//}"
  TRIBUTARY_API_KEY=$key "$bin/loadtest" backlog --api "$api" --clicks $((clicks + 1)) --json "$out/$name.json" \
    --sale "$edge_url/postback/$advertiser?order_id={order}&click_id=$click_id&amount=19.90&currency=EUR&token=$token"
  key=${bench[0]} advertiser=${bench[1]} link=${bench[2]} location=${bench[3]} click_id=${bench[4]}
}
if wanted backlog; then
  say "Backlog: clicks of an outage, and sales, from their answer until the ledger has them"
  printf 'edge as it was: '
  measure_backlog backlog
  printf 'edge restarted: '
  measure_backlog backlog-restarted stop_edge start_edge
fi

# What sending to the control plane costs the edge: the same clicks with it and without it. It shares the
# generator's core, so only the edge's CPU time is compared.
ticks() { sed 's/.*) //' "/proc/$edge/stat" | awk '{ print $12 + $13 }'; }
per_click() {
  local before=$(($(ticks)))
  taskset -c 1 "$bin/loadtest" run --url "$edge_url/c/$link" --rate 2000 --seconds "$1" \
    --connections 64 --crowd passing > "$dir/forward.txt" || true
  sleep 1
  echo "$(ticks) $before $((2000 * $1))" | awk '{ printf "%.1f", ($1 - $2) * 10000 / $3 }'
}
if wanted forward; then
  say "Edge at 2000 clicks a second, CPU-us a click"
  echo "control plane connected: $(per_click 10)"
fi
# From here on the edge is alone, as in an outage: the generator has its core for itself, and the spool fills.
stop_control
if wanted forward; then echo "control plane away:      $(per_click 10)"; fi

cold_start() {
  local name=$1 url=$2
  shift 2
  taskset -c 1 "$bin/loadtest" start --url "$url" --runs 10 --json "$out/$name.json" -- taskset -c 0 "$@"
}
if wanted start; then
  say "Cold start: from spawn to the first redirect"
  stop_edge
  echo "edge:  $(cold_start start "$edge_url/c/$link" "$bin/tributary-edge" run --config "$dir/edge.toml")"
  echo "nginx: $(cold_start start-nginx "$nginx_url/302" "$nginx" -c "$dir/nginx.conf" -p "$dir")"
  start_edge
fi
start_bare
if wanted idle; then
  # Both have just been started: memory that an earlier load left free would hide what connections take.
  say "Memory: connections that were used once and stay open"
  stop_edge
  start_edge
  taskset -c 1 "$bin/loadtest" idle --connections "${IDLE:-10000}" --crowd passing --json "$out/idle.json" \
    --peer "edge=$edge_url/c/$link,$edge" --peer "bare=$bare_url/302,$bare"
fi
start_nginx

# compare NAME ARGUMENTS...: into NAME.json and NAME.log. Answers that are wrong are in its table, and no reason
# to stop.
compare() {
  local name=$1
  shift
  taskset -c 1 "$bin/loadtest" compare --rounds "$rounds" --seconds "$seconds" --connections "$connections" \
    --crowd passing --sync-dir "$dir" --json "$out/$name.json" "$@" 2>&1 | tee "$out/$name.log" ||
    echo "bench: not all of $name was answered as expected" >&2
}
profile() {
  [ -n "${PROFILE:-}" ] || return 0
  say "Where the time goes: $1"
  taskset -c 1 "$bin/loadtest" run --url "$2" --peak --seconds 7 --connections "$connections" --crowd passing > "$dir/profile.txt" &
  local load=$!
  sleep 1
  perf record -q -F 999 -o "$dir/perf.data" -p "$edge" -- sleep 5 > "$dir/perf.log" 2>&1 || cat "$dir/perf.log" >&2
  wait "$load" || true
  perf report -i "$dir/perf.data" --stdio --sort comm > "$out/$1.profile" 2> /dev/null || true
  perf report -i "$dir/perf.data" --stdio --sort comm,dso,symbol --percent-limit 0.4 >> "$out/$1.profile" 2> /dev/null || true
  grep -v '^#' "$out/$1.profile" | grep -v '^$' | head -n 60 || true
}
redirect_url=$edge_url/c/$link
pixel_path="/p/$advertiser.gif?click_id=$click_id&order_id={n}&amount=19.90&currency=EUR"

if wanted redirect; then
  say "Redirect: GET /c/{link}, on disk before the 302"
  compare redirect --expect redirect --peer "edge=$redirect_url,$edge" --peer "nginx=$nginx_url/302,$worker" \
    --peer "nginx-buffered=$nginx_buffered/302,$worker" --peer "nginx-off=$nginx_off/302,$worker" \
    --peer "bare=$bare_url/302,$bare"
  profile redirect "$redirect_url"
fi
if wanted pixel; then
  say "Pixel: a conversion, on disk before the GIF"
  compare pixel --expect gif --peer "edge=$edge_url$pixel_path,$edge" --peer "nginx=$nginx_url/pixel.gif,$worker" \
    --peer "nginx-buffered=$nginx_buffered/pixel.gif,$worker" --peer "nginx-off=$nginx_off/pixel.gif,$worker" \
    --peer "bare=$bare_url/pixel.gif,$bare"
  profile pixel "$edge_url$pixel_path"
fi
if wanted sweep; then
  say "Latency at 25, 50, 75 and 90 % of the slowest peak"
  compare sweep --expect redirect --loads 0.25,0.5,0.75,0.9 \
    --peer "edge=$redirect_url,$edge" --peer "nginx=$nginx_url/302,$worker"
fi
if wanted each; then
  say "A connection for each request"
  compare each --expect redirect --peak-only --peer "edge:each=$redirect_url,$edge" \
    --peer "nginx:each=$nginx_url/302,$worker" --peer "bare:each=$bare_url/302,$bare"
fi

# over_tls NAME TITLE: whether it is wanted and this edge can do it.
over_tls() {
  wanted "$1" || return 1
  say "$2"
  knows tls || { echo "skipped: this tributary-edge has no [tls] in its configuration"; return 1; }
}
tls_redirect=$edge_tls/c/$link
secure=(--expect redirect --peak-only --ca "$dir/certificate.pem")
if over_tls tls-full "TLS 1.3, a full handshake for each request (P-256, X25519)"; then
  compare tls-full "${secure[@]}" --peer "edge:each=$tls_redirect,$edge" --peer "nginx:each=$nginx_tls/302,$worker"
fi
if over_tls tls-resumed "TLS 1.3, a resumed session for each request"; then
  compare tls-resumed "${secure[@]}" --peer "edge:resumed=$tls_redirect,$edge" \
    --peer "nginx:resumed=$nginx_tls/302,$worker"
fi
# As many requests at once as elsewhere, sixteen on each connection.
fewer=$(((connections + 15) / 16))
if over_tls h2 "HTTP/2 in TLS, sixteen requests at once on each connection"; then
  connections=$fewer compare h2 "${secure[@]}" --streams 16 --peer "edge:h2=$tls_redirect,$edge" \
    --peer "nginx:h2=$nginx_tls/302,$worker"
fi
if over_tls h3 "HTTP/3 beside our own HTTP/2"; then
  if knows http3; then
    connections=$fewer compare h3 "${secure[@]}" --streams 16 --peer "edge-h3:h3=$tls_redirect,$edge" \
      --peer "edge-h2:h2=$tls_redirect,$edge"
  else
    echo "skipped: this tributary-edge has no http3 in its configuration"
  fi
fi
if wanted flood; then
  # The same rate twice: from addresses and user agents never seen before, and from ones that come back. Long runs,
  # so that about a million strangers come by.
  say "Flood: strangers, each with an address and a user agent of its own, and regulars among them"
  rounds=$(((rounds + 1) / 2)) seconds=$((seconds * 4)) compare flood --expect redirect \
    --peer "flooded:flood=$redirect_url,$edge" --peer "clean:regulars=$redirect_url,$edge"
fi
