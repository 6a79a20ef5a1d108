#!/usr/bin/env bash
# Makes sure that the browser test finds Chromium and its driver; installs Debian's packages when not.
set -euo pipefail

have() { command -v "$1" > /dev/null 2>&1; }

browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if have "$name"; then command -v "$name"; return 0; fi
  done
  return 1
}

driver() {
  if have chromedriver; then command -v chromedriver; return 0; fi
  [ -x /usr/lib/chromium/chromedriver ] && echo /usr/lib/chromium/chromedriver
}

if browser > /dev/null && driver > /dev/null; then
  echo "browser test: $(browser), $(driver)"
  exit 0
fi

if ! have apt-get; then
  echo "The browser test needs Chromium and chromedriver, and this system has no apt-get to install them with." >&2
  echo "Install both so that \`chromium\` (or \`google-chrome\`) and \`chromedriver\` are on the PATH; then run this again." >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! have sudo; then
    echo "The browser test needs Chromium. As root, run: apt-get install chromium chromium-driver" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "browser test: Chromium is missing; installing the packages chromium and chromium-driver with apt-get ..."
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends chromium chromium-driver
browser > /dev/null && driver > /dev/null || {
  echo "apt-get installed Chromium, but it is still not on the PATH: look at the output above." >&2
  exit 1
}
