#!/usr/bin/env bash
# Checks the dashboard's pages, and that the committed bundle is what npm builds from web/.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/deps.sh web
if ! command -v npm >/dev/null; then
  echo "verify-web: not run: npm is missing" >&2 # which deps.sh has refused where everything must run
  exit
fi
"${MAKE:-make}" --no-print-directory web/node_modules/.package-lock.json
bundle=internal/dashboard/assets/dist
built=$(mktemp -d) # others compile what is committed meanwhile
trap 'rm -rf "$built"' EXIT
(cd web && npm run --silent check && npm run --silent test && DASHBOARD_DIST=$built npm run --silent build)
if ! diff -rq $bundle "$built"; then
  echo "the dashboard's bundle is not what npm builds from web/: run make web and commit $bundle" >&2
  exit 1
fi
