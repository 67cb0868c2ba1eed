#!/usr/bin/env bash
# Runs every fuzz target of the module for a moment: the corpus first, then new inputs. Each package is built once, and as many targets run at a
# time as there are cores, on one core each.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz/fairlead.dev/fairlead
export duration work cache

git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed -E 's|^(.*)/[^/]*:func (.*)|\1 \2|' | sort >"$work/targets"
count=$(wc -l <"$work/targets")
test "$count" -gt 0

cut -d ' ' -f 1 "$work/targets" | uniq | while read -r folder; do
  mkdir -p "$work/$folder"
  go test -c -fuzz . -o "$work/$folder/fuzz.test" "./$folder"
done

# one runs a target: its last lines, or all of them when it fails.
one() {
  local folder=$1 target=$2 said
  mkdir -p "$cache/$folder"
  cd "$folder"
  if said=$("$work/$folder/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$duration" \
    -test.fuzzcachedir "$cache/$folder" -test.parallel 1 2>&1); then
    printf 'fuzz %s in ./%s for %s\n%s\n' "$target" "$folder" "$duration" "$(tail -n 2 <<<"$said")"
  else
    printf 'fuzz %s in ./%s fails\n%s\n' "$target" "$folder" "$said"
    return 1
  fi
}
export -f one
xargs -P "$(nproc)" -L 1 bash -c 'one "$@"' one <"$work/targets"
echo "$count fuzz targets ran"
