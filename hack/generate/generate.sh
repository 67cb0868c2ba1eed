#!/usr/bin/env bash
# Writes everything that is generated from Go types and markers into OUT
# (default: the checkout itself): deepcopy functions, CRDs, roles, docs/api.md;
# and the Go code of the wire protocol from its .proto.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.}

tool() { go tool -modfile=go.tools.mod "$@"; }

mkdir -p "$out/api/v1alpha1" "$out/config/crd" "$out/config/rbac" "$out/docs"
tool controller-gen object paths=./api/... output:object:dir="$out/api/v1alpha1"
tool controller-gen crd paths=./api/... output:crd:dir="$out/config/crd"
if grep -rqs '+kubebuilder:rbac' internal/controller; then
  tool controller-gen rbac:roleName=fairlead-manager paths=./internal/controller/... output:rbac:dir="$out/config/rbac"
fi
tool crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --max-depth=20 --renderer=markdown \
  --config=hack/generate/api-docs.yaml --templates-dir=hack/generate/api-docs --output-path="$out/docs/api.md"

# protoc is Debian's protobuf-compiler; its plug-ins are built from the versions that go.tools.mod pins.
plugins=$PWD/bin/protoc
go build -modfile=go.tools.mod -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH="$plugins:$PATH" protoc -I internal/wire/proto --go_out="$out" --go_opt=module=fairlead.dev/fairlead \
  --go-grpc_out="$out" --go-grpc_opt=module=fairlead.dev/fairlead internal/wire/proto/*.proto
