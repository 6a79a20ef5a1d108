#!/usr/bin/env bash
# Makes sure that what the tests need beside Rust is there: a C compiler, curl, Chromium and its driver.
# Installs Debian's packages for what is missing, and says so.
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

missing=()
have cc || missing+=(build-essential)
have curl || missing+=(curl)
browser > /dev/null || missing+=(chromium)
driver > /dev/null || missing+=(chromium-driver)

if [ ${#missing[@]} -gt 0 ]; then
  if ! have apt-get; then
    echo "The tests need ${missing[*]} (Debian's names), and this system has no apt-get to install them with." >&2
    echo "Install them so that cc, curl, chromium and chromedriver are on the PATH; then run this again." >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo; then
      echo "The tests need more packages. As root, run: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "installing with apt-get: ${missing[*]} ..."
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

if ! browser > /dev/null || ! driver > /dev/null; then
  echo "Chromium or its driver is still not on the PATH: look at the output above." >&2
  exit 1
fi
echo "browser test: $(browser), $(driver)"
