#!/usr/bin/env bash
# Prints the path of the cargo-deny that this repository pins; builds it into .tools when it is nowhere.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2

for tool in .tools/bin/cargo-deny "$(command -v cargo-deny || true)"; do
  if [ -x "$tool" ] && [ "$("$tool" --version)" = "cargo-deny $version" ]; then
    echo "$tool"
    exit 0
  fi
done

echo "cargo-deny $version is missing; building it into .tools (once, a few minutes) ..." >&2
# It runs for a second at a time: worth neither link-time optimization nor a single codegen unit.
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
  cargo install --locked --force --root .tools cargo-deny --version "$version" >&2
echo .tools/bin/cargo-deny
