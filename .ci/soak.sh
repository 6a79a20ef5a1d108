#!/usr/bin/env bash
# `make soak`: the long form of what `make test` does in short to prove that nothing that was answered is lost or counted
# twice. One page says at its end what was found; what fails does not keep the rest from being tried. Environment:
#   MINUTES (about what all of it takes: two thirds are kills, and mischief with messages, side by side), SEEDS (of the
#   simulation)
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/needs.sh >&2

cargo=${CARGO:-cargo}
verdict=$(realpath -m "${CARGO_TARGET_DIR:-target}/soak-verdict.jsonl")
minutes=${MINUTES:-30}
export TRIBUTARY_SOAK_MINUTES=$(((2 * minutes + 2) / 3)) TRIBUTARY_SOAK_VERDICT=$verdict
export TRIBUTARY_SEEDS=${SEEDS:-$((200 + 10 * minutes))}
mkdir -p "${verdict%/*}"
: > "$verdict"

# step NAME COMMAND...: one line of the page.
step() {
  local name=$1 began=$SECONDS passed=true
  shift
  printf '\n== %s (%d min in)\n' "$name" $((SECONDS / 60)) >&2
  "$@" || passed=false
  printf '{"step":{"name":"%s","passed":%s,"seconds":%d}}\n' "$name" "$passed" $((SECONDS - began)) >> "$verdict"
}
tests() { "$cargo" test --locked "$@" >&2; }
on_postgres() { TRIBUTARY_TEST_DATABASE=postgres tests "$@"; }

step "all tests under load" tests -p tributary --test it -- torture::
step "crash images" tests -p edge --lib -- spool::tests::images --include-ignored
step "simulation, $TRIBUTARY_SEEDS seeds" tests -p edge --lib -- simulation::
step "full disks" tests -p edge --test it -- full::
step "restores, SQLite" tests -p tributary --test it -- restore::
step "restores, PostgreSQL" on_postgres -p tributary --test it -- restore::
step "deaths at each commit, SQLite" tests -p control-plane-server --test it -- commit_points::
step "deaths at each commit, PostgreSQL" on_postgres -p control-plane-server --test it -- commit_points::

# The harness has nothing to say that the page does not.
"$cargo" test -q --locked -p tributary --test it -- --ignored --exact --nocapture torture::verdict::the_page 2>&1 > /dev/null
