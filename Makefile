# fairlead: `make try` and `make demo` show it, `make test` proves it. `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fairlead
export CGO_ENABLED ?= 0

include hack/toolchain.mk
include hack/cluster/cluster.mk
include hack/generate/generate.mk
include hack/tools.mk
include hack/test.mk
include hack/web.mk
include hack/deploy.mk
include hack/release.mk
include bench/bench.mk

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-26s %s\n", $$1, $$2}'

.PHONY: try
try: ## Show on this machine, with Go alone, what a policy does for calls to a failing server; a minute the first time.
	@echo "Building (a while the first time, then at once) ..."
	@go build -trimpath -ldflags='-s -w' -gcflags=all=-dwarf=false -o bin/try ./hack/try # without what debuggers need: that is built sooner
	@bin/try hack/try/policy.yaml

.PHONY: build
build: ## Build the programs into bin/: manager, agent, dashboard, and kubectl-fairlead, which is fairlead too.
	go build -trimpath -o bin/ ./cmd/...
	ln -sf kubectl-fairlead bin/fairlead
