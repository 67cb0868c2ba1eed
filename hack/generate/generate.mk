# Generated files are committed; make verify-generate proves them current.
.PHONY: generate
generate: test-deps ## Generate deepcopy functions, CRDs, roles, docs/reference/api.md and the wire protocol.
	@hack/generate/generate.sh

.PHONY: verify-generate
verify-generate: test-deps ## Fail when a generated file is not current.
	@hack/generate/verify.sh
