# Tools that are built once per version, outside the checkout.
GOLANGCI_VERSION := v2.15.0
# A linter reads the standard library of the toolchain that it is built with.
GOLANGCI := $(CACHE)/tools/golangci-lint-$(GOLANGCI_VERSION)-$(GO_TOOLCHAIN)/golangci-lint

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) (once, some minutes)"
	cd / && GOFLAGS= GOBIN=$(dir $(GOLANGCI)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
