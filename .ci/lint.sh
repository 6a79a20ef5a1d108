#!/usr/bin/env bash
# What `make lint` does. Each step says what it checks; the first that fails ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n-- %s\n' "$*"; }

step "formatting (make fmt puts it right)"
cargo fmt --all -- --check

step "clippy, warnings are errors"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "who depends on whom, pure crates, file lengths, alerts and their pages"
cargo run -q --locked -p ci-tidy

step "banned crates, licences, sources"
deny=$(.ci/cargo-deny.sh)
"$deny" --locked --config .ci/deny.toml check bans licenses sources
