#!/usr/bin/env bash
# Makes a release from each of two clones of what is committed, in folders of different names, and compares their checksums.
set -euo pipefail
cd "$(dirname "$0")/.."
(cd hack/release && go build -o ../../bin/release .)
commit=$(git rev-parse HEAD)
work=$(mktemp -d "${TMPDIR:-/tmp}/fairlead-release.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Both before either is made: somebody may commit meanwhile.
for name in one another; do
  git clone -q . "$work/$name"
  git -C "$work/$name" checkout -q --detach "$commit"
done
for name in one another; do
  bin/release -version 0.0.1-check -registry registry.example/fairlead -tree "$work/$name" -out "$work/$name/dist"
done
diff -u "$work"/{one,another}/dist/0.0.1-check/checksums.txt
(cd "$work/one/dist/0.0.1-check" && sha256sum --quiet --check checksums.txt)
echo "two releases of ${commit:0:8} are the same: $(wc -l <"$work/one/dist/0.0.1-check/checksums.txt") files"
