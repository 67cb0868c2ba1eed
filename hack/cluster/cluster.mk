# The local cluster: a real Kubernetes with three nodes on this machine, see hack/cluster/README.md.
CLUSTER ?= fairlead
# What runs in pods: every main package here becomes the image fairlead.dev/NAME:dev.
IMAGES ?= $(wildcard cmd/manager cmd/agent cmd/dashboard test/images/*)
CLUSTER_TOOL = bin/cluster -name '$(CLUSTER)'
# A command that prints KUBEBUILDER_ASSETS, building what is missing first.
KUBE_ASSETS = $(MAKE) -s --no-print-directory kube-assets

# The flags of what the tool builds, so that what they have in common is compiled once.
CLUSTER_TOOL_FLAGS = -trimpath -pgo=off -gcflags=all=-dwarf=false

.PHONY: cluster-tool
cluster-tool:
	@cd hack/cluster && CGO_ENABLED=0 go build $(CLUSTER_TOOL_FLAGS) -o ../../bin/cluster .

.PHONY: cluster-up
cluster-up: cluster-tool ## Start a local cluster of three nodes (CLUSTER=name); no-op if it is up.
	@$(CLUSTER_TOOL) up

.PHONY: cluster-down
cluster-down: cluster-tool ## Remove the local cluster and all its traces.
	@$(CLUSTER_TOOL) down

.PHONY: cluster-status
cluster-status: cluster-tool ## Say how the local cluster fares.
	@$(CLUSTER_TOOL) status

.PHONY: images
images: cluster-tool ## Build the images (IMAGES=dirs) without Docker and load them into the local cluster's nodes.
	@$(CLUSTER_TOOL) images $(IMAGES)

.PHONY: kube-binaries
kube-binaries: cluster-tool ## Build the programs of the nodes into the cache and print where those of Kubernetes are.
	@$(CLUSTER_TOOL) binaries

.PHONY: kube-assets
kube-assets: cluster-tool
	@$(CLUSTER_TOOL) assets
