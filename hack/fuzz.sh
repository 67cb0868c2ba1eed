#!/usr/bin/env bash
# Runs every fuzz target of the module for a moment: the corpus first, then new inputs.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=$1
count=0
while IFS=: read -r file line; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/' <<<"$line")
  echo "fuzz $target in ./$(dirname "$file") for $duration"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "./$(dirname "$file")" | tail -n 2
  count=$((count + 1))
done < <(git grep -E '^func Fuzz' -- '*_test.go' | sort)
echo "$count fuzz targets ran"
test "$count" -gt 0
