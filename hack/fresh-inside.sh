#!/usr/bin/env bash
# What hack/fresh.sh runs inside the new root, in the clone at the path that is its argument.
set -euo pipefail
cd "$1"
step() { printf '\n\033[1m==> fresh machine: %s\033[0m\n' "$*"; }
step "the set-up of make test and make demo"
make test-deps test-peers
make kube-binaries
make kube-assets
make build
step "verify, lint, unit tests"
make verify lint test-unit
step "everything passed"
