# Tools that are built once per version, outside the checkout.
GOLANGCI_VERSION := v2.15.0
# A linter reads the standard library of the toolchain that it is built with.
GOLANGCI := $(CACHE)/tools/golangci-lint-$(GOLANGCI_VERSION)-$(GO_TOOLCHAIN)/golangci-lint

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) (once, some minutes)"
	cd / && GOFLAGS= GOBIN=$(dir $(GOLANGCI)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

# Helm is built from the versions that hack/release, whose tests use it as a library, has pinned, and by the same flags, so that it is compiled once.
HELM_VERSION := $(shell sed -n 's/^\thelm.sh\/helm\/v4 //p' hack/release/go.mod)
HELM := $(CACHE)/tools/helm-$(HELM_VERSION)-$(GO_TOOLCHAIN)/helm

$(HELM):
	@echo >&2 "building helm $(HELM_VERSION) (once, some minutes)"
	cd hack/release && go build -buildvcs=false -ldflags "-s -w" -o $(HELM) helm.sh/helm/v4/cmd/helm
