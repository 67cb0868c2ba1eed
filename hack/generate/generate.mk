# Generated files are committed; make verify-generate proves them current.
.PHONY: generate
generate: ## Generate deepcopy functions, CRDs, roles and docs/api.md.
	@hack/generate/generate.sh

.PHONY: verify-generate
verify-generate: ## Fail when a generated file is not current.
	@hack/generate/verify.sh
