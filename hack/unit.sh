#!/usr/bin/env bash
# The tests of packages with the race detector, and beside them, without it, those of the packages that know whether it is on, since it distorts what
# tests of allocations and of memory measure: most of their time both wait. With RACE=0 all run without it, in less than half the time.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "${RACE:-}" != 0 ] || exec go test -count=1 -timeout 20m "$@"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
mapfile -t plainly < <(git grep -lE '^//go:build race$' -- cmd internal | xargs -n 1 dirname | sort -u | sed 's,^,./,')
go test -count=1 -timeout 10m "${plainly[@]}" >"$log" 2>&1 &
plain=$!
failed=0
CGO_ENABLED=1 go test -race -count=1 -timeout 20m "$@" || failed=1
wait "$plain" || failed=1
echo "once more without the race detector, which distorts what allocation and memory tests measure"
cat "$log"
exit "$failed"
