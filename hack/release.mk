# Releases: programs, images, SBOMs, manifests and charts, made by hack/release, which also tests the charts. See docs/operations/install.md.
VERSION ?=
REGISTRY ?= fairlead.dev
DOWNLOADS ?= https://fairlead.dev/releases

.PHONY: release
release: ## Make a release into dist/VERSION (VERSION=1.2.3, REGISTRY=where its images will be, DOWNLOADS=where its files will be).
	cd hack/release && go build -o ../../bin/release .
	bin/release -version '$(VERSION)' -registry '$(REGISTRY)' -downloads '$(DOWNLOADS)'

.PHONY: release-images
release-images: ## Have config/release name the images of a release, in the commit that is to be tagged (VERSION=1.2.3, REGISTRY=where they will be).
	cd hack/release && go build -o ../../bin/release .
	bin/release -images -version '$(VERSION)' -registry '$(REGISTRY)'

.PHONY: release-check
release-check: ## Make a release twice, from two clones of what is committed, and fail unless their checksums are the same.
	@hack/release-check.sh

.PHONY: test-release
test-release: test-deps ## Charts beside manifests, their values, an API server's opinion of both, and that releases are reproducible.
	cd hack/release && go vet ./... && KUBEBUILDER_ASSETS="$$(cd ../.. && $(KUBE_ASSETS))" go test -count=1 ./...

.PHONY: helm
helm: $(HELM)
	@echo $(HELM)
