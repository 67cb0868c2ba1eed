# make test runs everything; each part can be run alone.
PKG ?= ./...
# Packages with tests that need a cluster of their own are not part of the unit tests. Nor is the study, which is part of verify: it has one goroutine,
# in which the race detector finds nothing and takes ten times as long.
UNIT_PACKAGES = $(shell go list ./... | grep -v -e /test/e2e -e /test/differential -e /test/soak -e /test/study -e /test/browser -e /bench/controlplane -e /bench/dataplane)
TEST_CLUSTER ?= fairlead-test
# What cannot run fails instead of being skipped. CI and make test as root set it; without root some tests cannot run at all.
ifeq ($(shell id -u),0)
REQUIRE_PRIVILEGED ?= 1
endif
export REQUIRE_PRIVILEGED

# With RACE=1 the suites below run with the race detector, which needs a C compiler: the agent is in the test's own process, or, in e2e-local,
# built with it.
RACE ?=
GO_TEST = $(if $(filter 1,$(RACE)),CGO_ENABLED=1 go test -race,go test) -count=1

# The stories wait most of their time, in which what only computes goes on at a low priority. What depends on how soon its own goroutines run has
# the machine for itself, one part after another.
BESIDE = e2e-local verify lint vulncheck test-release
ALONE = test-browser test-unit test-enforcement test-differential test-grpc test-fuzz test-soak test-cluster-tool
AT_A_TIME ?= 2

.PHONY: test
test: test-peers browser-deps parts-beside parts-alone ## Run every test: verify, lint, vulnerabilities, unit, the dashboard in a browser, API, namespaces, enforced fields, direct beside governed, gRPC, soak, cluster tool, fuzz, e2e.
	@echo "make test: everything passed"

.PHONY: ci
ci: test fresh ## make test, and make fresh.

.PHONY: parts-beside parts-alone
parts-beside:
	+@hack/parts.sh $(AT_A_TIME) $(BESIDE)
parts-alone:
	+@hack/parts.sh 1 $(ALONE)

.PHONY: test-deps
test-deps: ## Install what the tests need (root on Debian), or say what is missing.
	@hack/deps.sh

.PHONY: test-unit
test-unit: test-peers ## Unit, property, envtest and namespace tests, with the race detector (RACE=0 without).
	KUBEBUILDER_ASSETS="$$($(KUBE_ASSETS))" RACE="$(RACE)" hack/unit.sh $(UNIT_PACKAGES)

.PHONY: test-peers
test-peers: test-deps ## Install the clients and servers of other people's making that test-differential and e2e-local use.
	@hack/deps.sh peers

.PHONY: test-differential
test-differential: test-peers ## Calls direct beside governed by a policy that only names their destination. RUN=regex/regex picks some.
	$(GO_TEST) -timeout $(if $(filter 1,$(RACE)),45m,15m) ./test/differential $(if $(RUN),-v -run 'TestRule00_NoHarm/$(RUN)')

.PHONY: test-grpc
test-grpc: RACE = 1
test-grpc: test-deps ## The suites of gRPC and Connect, directly and captured, with the race detector (RACE= without).
	cd test/grpc && go vet ./... && $(GO_TEST) -timeout 20m ./...

.PHONY: test-race
test-race: ## test-differential and e2e-local with the race detector, for which make test has no time.
	$(MAKE) RACE=1 test-differential e2e-local

.PHONY: test-enforcement
test-enforcement: ## Each enforced field is held by a test that fails without it.
	go run ./hack/enforcement

.PHONY: test-soak
test-soak: ## Random policies and faults for a minute, each check exercised, and 100,000 POSTs whose connections break at every byte.
	cd test/soak && SOAK_TIME=60s $(GO_TEST) -timeout 15m # where go test shows what a test that passes prints: its seed, and what was checked

.PHONY: soak
soak: ## Random policies and faults for SOAK_TIME (default 30m), from SOAK_SEED; SOAK_ROUND repeats a round that has failed.
	SOAK_TIME=$(or $(SOAK_TIME),30m) $(GO_TEST) -timeout 24h -v ./test/soak -run TestSoak

.PHONY: test-fuzz
test-fuzz: ## Run each fuzz target for FUZZTIME (default 3s) beyond its corpus.
	@hack/fuzz.sh "$(or $(FUZZTIME),3s)"

.PHONY: test-cluster-tool
test-cluster-tool: test-deps ## Tests of the local cluster tool.
	cd hack/cluster && go vet ./... && go test -count=1 -timeout 15m ./...

.PHONY: test-vm
test-vm: ## What reads control groups, on a machine with version 2 alone that qemu emulates (root on Debian; a minute).
	@mkdir -p bin
	CGO_ENABLED=0 go test -c -o bin/cgroup.test ./internal/cgroup
	hack/vm.sh bin/cgroup.test -test.v

.PHONY: deflake
deflake: ## Repeat the tests of PKG with the race detector until one fails.
	CGO_ENABLED=1 KUBEBUILDER_ASSETS="$$($(KUBE_ASSETS))" bash -c 'i=0; while go test -race -count=1 $(PKG); do i=$$((i+1)); echo "run $$i passed"; done'

.PHONY: lint
lint: $(GOLANGCI) ## Static checks.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt on the files above"; exit 1; }
	$(GOLANGCI) run --allow-parallel-runners ./...

.PHONY: vulncheck
vulncheck: ## Fail when a known vulnerability can be reached from our code.
	@hack/vulncheck.sh

.PHONY: fresh
fresh: ## Prove on a minimal Debian root that a new machine needs nothing but what README.md names (root on Debian).
	@hack/fresh.sh

.PHONY: verify
verify: verify-modules verify-generate verify-docs verify-web verify-macos ## Modules, generated code, manifests and docs are current.

.PHONY: verify-modules
verify-modules:
	for module in . hack/cluster hack/cluster/containerd hack/release test/grpc; do (cd $$module && go mod tidy -diff) || exit; done

# fairlead run is for the machines of developers too.
.PHONY: verify-macos
verify-macos: ## fairlead run compiles for macOS.
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./cmd/kubectl-fairlead
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./hack/try

.PHONY: verify-docs
verify-docs: ## What the docs name exists: links, make targets, tests of rules, the demo's policy; and docs/study is what make study makes.
	go test -count=1 ./hack/... ./test/study

.PHONY: study
study: ## Simulate what policies do to an upstream at 120 % load, in simulated time, and write docs/study and the tables of docs/study.md.
	go run ./test/study $(STUDY_FLAGS)

# The suite works against any cluster on which fairlead is deployed: make e2e KUBECONFIG=...
.PHONY: e2e
e2e: ## Run the end-to-end stories against KUBECONFIG. FOCUS=regex picks some.
	go test -count=1 -timeout 25m ./test/e2e -ginkgo.v $(if $(FOCUS),-ginkgo.focus="$(FOCUS)")

.PHONY: e2e-local
e2e-local: test-peers browser-deps ## Bring up a local cluster, deploy, run the stories, take it down (KEEP=1 leaves it).
	@hack/e2e-local.sh "$(TEST_CLUSTER)"
