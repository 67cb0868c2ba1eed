#!/usr/bin/env bash
# Generates into a temporary directory and compares: fails when a generated
# file in the checkout is not what its source says.
set -euo pipefail
cd "$(dirname "$0")/../.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
hack/generate/generate.sh "$fresh"

stale=0
while IFS= read -r file; do
  if ! diff -u "$file" "$fresh/$file"; then stale=1; fi
done < <(cd "$fresh" && find . -type f | sort)
if [ "$stale" -ne 0 ]; then
  echo "generated files are not current: run make generate and commit what changes" >&2
  exit 1
fi
