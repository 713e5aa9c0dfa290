#!/bin/sh
# Shows, with strace, which syncs a commit to a local store makes before it is acknowledged, and fails when
# one of them is missing. The store must be on a file system where files can be synced; any will do.
set -eu
cd "$(dirname "$0")/.."
if ! command -v strace >/dev/null 2>&1; then
  echo "skipped: strace is not installed"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! strace -o "$work/probe" true 2>/dev/null; then
  echo "skipped: strace may not trace processes here"
  exit 0
fi
strace -f -y -o "$work/trace" -e trace=fsync,fdatasync,write \
  node_modules/.bin/bun scripts/show-syncs-child.ts "$work/forge"

# Lines from one mark on stdout to the next: only the syncs, by the name of what was synced.
section() {
  awk -v from="MARK $1" -v upto="MARK $2" '
    index($0, from) { on = 1 } index($0, upto) { on = 0 }
    on && match($0, /(fsync|fdatasync)\([0-9]+<[^>]*>/) {
      call = substr($0, RSTART, RLENGTH); sub(/\([0-9]+</, " ", call); sub(/>$/, "", call); print call
    }' "$work/trace" | sed "s#$work/##; s#large/../[0-9a-f]*#large/../FILE#; s#large/[0-9a-f][0-9a-f]\$#large/..#"
}
failed=0
expect() {
  echo "$1: syncs before it is acknowledged"
  section "$2" "$3" >"$work/section"
  sed 's/^/  /' "$work/section"
  shift 3
  for wanted in "$@"; do
    grep -q -- "$wanted\$" "$work/section" || {
      echo "  MISSING: $wanted"
      failed=1
    }
  done
}
expect "create a store" create small forge/store.sqlite-wal forge
expect "first commit of a process: a small put and a swap" small again forge/store.sqlite-wal
expect "next commit: a small put and a swap" again large forge/store.sqlite-wal
test "$(wc -l <"$work/section")" -eq 1 || {
  echo "  EXPECTED exactly one"
  failed=1
}
expect "commit: a large put and a swap" large end "large/../FILE" "large/.." forge/store.sqlite-wal
exit "$failed"
