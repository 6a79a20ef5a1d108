#!/usr/bin/env bash
# Builds the version before this one, which knows the schema before the newest, and prints where its binary is:
# deploys roll, so it must go on working on the newest schema. With each new migration, move COMMIT on to the last
# commit before it. Without that commit at hand (a copy of the sources without their history) nothing is printed;
# with CI set, that is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

# Schema 14.
COMMIT=6fcdc03a83a0f2e4ad0d90085baeabf481ff1907

if ! git cat-file -e "$COMMIT^{commit}" 2> /dev/null; then
  [ -z "${CI:-}" ] || { echo "the version before this one is not in this copy: fetch commit $COMMIT" >&2; exit 1; }
  echo "the version before this one is not in this copy: upgrades are not tried" >&2
  exit 0
fi
binary="$PWD/.tools/previous/$COMMIT/tributary"
if [ ! -x "$binary" ]; then
  echo "building the version before this one, to try an upgrade ..." >&2
  sources=$(mktemp -d)
  trap 'rm -rf "$sources"' EXIT
  # Files as new as they are here: by the age of the commit, what is built already would pass for theirs.
  git archive "$COMMIT" | tar -x -m -C "$sources"
  # The same directory for build output: what both have in common is there already.
  target="${CARGO_TARGET_DIR:-$PWD/target}"
  (cd "$sources" && CARGO_TARGET_DIR="$target" cargo build -q --locked -p tributary) >&2
  mkdir -p "$(dirname "$binary")"
  cp "$target/debug/tributary" "$binary.new"
  mv "$binary.new" "$binary"
  # Cargo takes crates of one name and one place in their workspace for the same: what was built of the old sources
  # would pass for the new ones.
  members=$(cargo tree --locked --workspace --depth 0 --prefix none --format '{p}' | awk 'NF { print "-p", $1 }' | sort -u)
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR="$target" cargo clean --quiet --locked $members >&2
fi
echo "$binary"
