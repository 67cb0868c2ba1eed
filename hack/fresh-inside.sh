#!/usr/bin/env bash
# What hack/fresh.sh runs inside the new root, in the clone at the path that is its argument.
set -euo pipefail
cd "$1"
step() { printf '\n\033[1m==> fresh machine: %s\033[0m\n' "$*"; }
step "the set-up of make demo"
make cluster-tool
bin/cluster tools
step "the set-up of make test"
make test-deps test-peers
make kube-binaries
make kube-assets
make build
step "verify, lint, unit tests"
make verify lint
make test-unit RACE=0 # make test has all of them with the race detector
CGO_ENABLED=1 go test -race -count=1 ./internal/agent/resilience # which what is installed here can run
step "everything passed"
