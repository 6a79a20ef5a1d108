#!/usr/bin/env bash
# Makes sure that what the tests need beside Rust is there: a C compiler, curl, h2load, slowhttptest, strace, Chromium and its
# driver, PostgreSQL's programs; and in .tools aioquic (HTTP/3 for Python) and promtool (Prometheus's judge of alert rules).
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

# Debian puts initdb where no PATH leads.
postgresql() {
  local found
  if have initdb; then command -v initdb; return 0; fi
  found=$(find /usr/lib/postgresql -path '*/bin/initdb' 2> /dev/null | sort -V | tail -n 1)
  [ -n "$found" ] && echo "$found"
}

missing=()
have cc || missing+=(build-essential)
have curl || missing+=(curl)
have h2load || missing+=(nghttp2-client)
have slowhttptest || missing+=(slowhttptest)
have strace || missing+=(strace)
have pkill || missing+=(procps)
python3 -c "import venv, ensurepip" 2> /dev/null || missing+=(python3-venv)
browser > /dev/null || missing+=(chromium)
driver > /dev/null || missing+=(chromium-driver)
postgresql > /dev/null || missing+=(postgresql)

if [ ${#missing[@]} -gt 0 ]; then
  if ! have apt-get; then
    echo "The tests need ${missing[*]} (Debian's names), and this system has no apt-get to install them with." >&2
    echo "Install them so that cc, curl, chromium, chromedriver and initdb are on the PATH; then run this again." >&2
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
  # The tests start servers of their own: none is wanted that runs on this machine from now on.
  clusters=/etc/postgresql-common/createcluster.conf
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e "$clusters" ]; then
    "${as_root[@]}" mkdir -p "${clusters%/*}"
    echo "create_main_cluster = false" | "${as_root[@]}" tee "$clusters" > /dev/null
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

if ! browser > /dev/null || ! driver > /dev/null; then
  echo "Chromium or its driver is still not on the PATH: look at the output above." >&2
  exit 1
fi
if ! postgresql > /dev/null; then
  echo "PostgreSQL's initdb is still not there: look at the output above." >&2
  exit 1
fi

# Pinned, since it judges us: a new release is tried on purpose.
aioquic=1.7.2
tools=$(cd "$(dirname "$0")/.." && pwd)/.tools/aioquic
installed() { "$tools/bin/python" -c 'import importlib.metadata as m; print(m.version("aioquic"))' 2> /dev/null; }
if [ "$(installed)" != "$aioquic" ]; then
  echo "installing aioquic $aioquic into .tools ..."
  python3 -m venv --clear "$tools"
  "$tools/bin/pip" install -q --disable-pip-version-check "aioquic==$aioquic"
fi

# Of Debian's package only this program: the rest would start a server.
promtool=${tools%/*}/bin/promtool
if [ ! -x "$promtool" ]; then
  mkdir -p "${promtool%/*}"
  if have promtool; then
    ln -s "$(command -v promtool)" "$promtool"
  else
    echo "fetching promtool into .tools ..."
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    download() { (cd "$fetched" && apt-get download -q prometheus && dpkg-deb -x ./*.deb .); }
    # The lists of packages may be missing, or too old.
    if ! download && ! { apt-get update -q && download; }; then
      echo "promtool is not to be had: run apt-get update as root, or install Prometheus, and run this again." >&2
      exit 1
    fi
    cp "$fetched/usr/bin/promtool" "$promtool"
  fi
fi
echo "HTTP/3 tests: aioquic $(installed)"
echo "alert rules: $promtool"
echo "browser test: $(browser), $(driver)"
echo "database tests: $(postgresql)"
