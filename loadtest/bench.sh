#!/usr/bin/env bash
# Starts a fresh instance of the shipped build and clicks its demo link at a fixed rate.
# RATE (a second), DURATION (s) and CONNECTIONS may be set.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "Building as shipped (fat LTO: takes minutes) ..." >&2
cargo build --locked --profile dist -p tributary -p loadtest

bin="${CARGO_TARGET_DIR:-target}/dist"
dir=$(mktemp -d)
pid=
stop() {
  if [ -n "$pid" ]; then kill "$pid" 2> /dev/null || true; wait "$pid" 2> /dev/null || true; fi
  rm -rf "$dir"
}
trap stop EXIT

"$bin/tributary" up --output json --data-dir "$dir/data" --listen 127.0.0.1:0 > "$dir/ready" 2> "$dir/log" &
pid=$!
until [ -s "$dir/ready" ]; do
  kill -0 "$pid" 2> /dev/null || { echo "tributary did not start:" >&2; cat "$dir/log" >&2; exit 1; }
  sleep 0.1
done
link=$(sed -n 's/.*"demo_link":"\([^"]*\)".*/\1/p' "$dir/ready")
[ -n "$link" ] || { echo "no demo_link in: $(cat "$dir/ready")" >&2; exit 1; }

"$bin/loadtest" --url "$link" --rate "${RATE:-1000}" --seconds "${DURATION:-10}" --connections "${CONNECTIONS:-64}"
