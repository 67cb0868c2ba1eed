#!/usr/bin/env bash
# Fails when a known vulnerability can be reached from our code. The database is the newest golang.org/x/vulndb, which comes like any
# module, so that the check works wherever modules can be had.
set -euo pipefail
cd "$(dirname "$0")/.."
db=$(GOFLAGS=-mod=mod go mod download -json golang.org/x/vulndb@latest)
dir=$(sed -nE 's/^\t"Dir": "(.*)",?$/\1/p' <<<"$db")
echo "vulnerabilities known by $(sed -nE 's/^\t"Version": "(.*)",?$/\1/p' <<<"$db")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
check() { # folder of the module
  if ! (cd "$1" && go tool -modfile="$OLDPWD/go.tools.mod" govulncheck -db "file://$dir/data/osv" ./...) >"$log" 2>&1; then
    grep -v '^ *#[0-9]*: ' "$log" >&2 # without the traces, of which there can be hundreds
    echo "see them with: cd $1 && go tool govulncheck -show traces ./..." >&2
    exit 1
  fi
  echo "$1: $(tail -n 1 "$log")"
}
check .
check hack/cluster
check hack/release
