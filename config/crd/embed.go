// Package crd has the CustomResourceDefinitions in it.
package crd

import "embed"

// Files are the manifests of this folder that define kinds.
//
//go:embed policy.fairlead.dev_*.yaml
var Files embed.FS
