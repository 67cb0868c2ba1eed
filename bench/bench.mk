# Benchmarks: programs, not tests. JSON=1 prints JSON lines only (use make -s).
BENCH_JSON := $(if $(JSON),-json)

.PHONY: bench-deps
bench-deps:
	@hack/bench-deps.sh

# The agent is built with a profile of itself under load (default.pgo), and so is the candidate that stands for it.
AGENT_PROFILE = cmd/agent/default.pgo
BENCH_DATAPLANE = go build -trimpath -pgo=$(AGENT_PROFILE) -o bin/bench-dataplane ./bench/dataplane

.PHONY: bench-dataplane
bench-dataplane: bench-deps ## Measure the data plane against haproxy, nginx and net/http (some minutes, root, two cores).
	@$(BENCH_DATAPLANE)
	@bin/bench-dataplane -full -rounds 12 -duration 1s $(BENCH_JSON) $(BENCH_FLAGS)

.PHONY: bench-dataplane-quick
bench-dataplane-quick: bench-deps ## Measure the data plane in about three minutes, mostly against haproxy alone (root, two cores).
	@$(BENCH_DATAPLANE)
	@bin/bench-dataplane -rounds 4 -duration 400ms -bulk 16 $(BENCH_JSON) $(BENCH_FLAGS)

.PHONY: bench-blocks
bench-blocks: bench-deps ## Measure what each block of a policy costs per call, as a table of Markdown (some minutes, root, two cores).
	@$(BENCH_DATAPLANE)
	@bin/bench-dataplane -blocks -rounds 12 -duration 1s $(BENCH_JSON) $(BENCH_FLAGS)

.PHONY: bench-fairness
bench-fairness: ## Measure what one pod's 5,000 connections, or 100 times the calls, cost another pod, and fail where that is more than the goal (some minutes, root, two cores).
	@go build -trimpath -pgo=$(AGENT_PROFILE) -o bin/bench-fairness ./bench/fairness
	@bin/bench-fairness -judge $(BENCH_FLAGS)

.PHONY: agent-profile
agent-profile: bench-deps ## Make the profile anew that the agent is compiled with (root, two cores).
	@go build -trimpath -pgo=off -o bin/bench-dataplane ./bench/dataplane
	@bin/bench-dataplane -cpuprofile $(AGENT_PROFILE)

BENCH_CONTROLPLANE = KUBEBUILDER_ASSETS="$$($(KUBE_ASSETS))" && export KUBEBUILDER_ASSETS && \
	go build -o bin/manager ./cmd/manager && go build -o bin/bench-controlplane ./bench/controlplane && bin/bench-controlplane

.PHONY: bench-controlplane
bench-controlplane: ## Measure the manager on a real API server with 100 and 1,000 simulated nodes (some minutes).
	@$(BENCH_CONTROLPLANE) -nodes 100,1000 -steady 60s -full $(BENCH_JSON) $(BENCH_FLAGS)

.PHONY: bench-controlplane-quick
bench-controlplane-quick: ## Measure the manager with 200 simulated nodes, in about a minute.
	@$(BENCH_CONTROLPLANE) -nodes 200 $(BENCH_JSON) $(BENCH_FLAGS)

.PHONY: bench-controlplane-large
bench-controlplane-large: ## Measure the manager with 5,000 simulated nodes (half an hour or more).
	@$(BENCH_CONTROLPLANE) -nodes 5000 -steady 60s $(BENCH_JSON) $(BENCH_FLAGS)
