# Keeps one PostgreSQL server, in a directory of its own, for the process at the other end of stdin. When
# that process ends, in whatever way, stdin ends too: the server is stopped and its directory removed.
#
# $1: PostgreSQL's programs. $2: where to make the directory. Commands come one a line; the answer to each
# is what it printed and then a line `= STATUS`.
bin=$1
exec 2>&1
umask 077

clean_up() {
  if [ -f data/postmaster.pid ]; then
    # A server that hangs is killed; its backends notice and follow.
    "$bin/pg_ctl" stop -D data -m immediate -t 10 > /dev/null 2>&1 \
      || kill -KILL "$(head -n 1 data/postmaster.pid)" > /dev/null 2>&1
  fi
  rm -rf "$directory" > /dev/null 2>&1
}

init() {
  "$bin/initdb" -D data -U postgres -E UTF8 --locale=C.UTF-8 -A trust --no-sync
}

start() {
  "$bin/pg_ctl" start -s -D data -l log -t 60 -o "-p $1" && return
  tail -n 20 log
  return 1
}

stop() {
  "$bin/pg_ctl" stop -s -D data -m "$1" -t 60
}

directory=$(mktemp -d "$2/tributary-postgresql-XXXXXX") && cd "$directory" || { echo "= 1"; exit 1; }
trap clean_up EXIT
trap exit HUP INT PIPE TERM
echo "$directory"
echo "= 0"
while read -r command argument; do
  # By way of a file: with nobody at the other end, a pipe would end pg_ctl while its server still starts.
  "$command" "$argument" > answer 2>&1
  status=$?
  cat answer
  printf '\n= %s\n' "$status"
done
