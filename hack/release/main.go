package main

import (
	_ "github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	_ "github.com/google/go-containerregistry/pkg/v1/layout"
	_ "github.com/google/go-cmp/cmp"
	_ "golang.org/x/crypto/x509roots/fallback/bundle"
	_ "helm.sh/helm/v4/pkg/action"
	_ "sigs.k8s.io/controller-runtime/pkg/envtest"
	_ "sigs.k8s.io/kustomize/api/krusty"
)

func main() {}
