#!/usr/bin/env bash
# Writes everything that is generated from Go types and markers into OUT
# (default: the checkout itself): deepcopy functions, CRDs, roles, docs/reference/api.md;
# the Go code of the wire protocol from its .proto; and the rules of Prometheus
# and the dashboards of Grafana.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.}

tool() { go tool -modfile=go.tools.mod "$@"; }

mkdir -p "$out/api/v1alpha1" "$out/config/crd" "$out/config/rbac" "$out/docs/reference"
tool controller-gen object paths=./api/... output:object:dir="$out/api/v1alpha1"
tool controller-gen crd paths=./api/... output:crd:dir="$out/config/crd"
go run ./hack/generate/shorten "$out/config/crd/policy.fairlead.dev_clusterretrypolicies.yaml"
if grep -rqs '+kubebuilder:rbac' internal/controller; then
  tool controller-gen rbac:roleName=fairlead-manager paths=./internal/controller/... output:rbac:dir="$out/config/rbac"
fi
# What the charts share with the manifests.
go run ./hack/generate/charts "$out"
tool crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --max-depth=20 --renderer=markdown \
  --config=hack/generate/api-docs.yaml --templates-dir=hack/generate/api-docs --output-path="$out/docs/reference/api.md"
go run ./hack/generate/monitoring "$out"

# The protocol's compiler and its plug-ins are Go programs of pinned versions; the well-known types come with them.
go build -modfile=go.tools.mod -o bin/protoc/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
# buf wants a cache folder even where it fetches nothing.
BUF_CACHE_DIR=${BUF_CACHE_DIR:-$PWD/bin/buf-cache} go tool -modfile=go.buf.mod buf generate internal/wire/proto \
  --template hack/generate/buf.gen.yaml --output "$out"
