#!/usr/bin/env bash
# Writes everything that is generated from Go types and markers into OUT
# (default: the checkout itself): deepcopy functions, CRDs, roles, docs/api.md.
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
