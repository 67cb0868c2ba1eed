# fairlead: `make demo` shows it, `make test` proves it. `make help` lists the rest.
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
include hack/deploy.mk
include hack/release.mk
include bench/bench.mk

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-26s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build manager and agent into bin/.
	go build -trimpath -o bin/ ./cmd/...
