// Package manifests builds the kustomizations of the tree.
package manifests

import (
	"fmt"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Image is what an image of the manifests is replaced by.
type Image = types.Image

// Build returns the manifests of the kustomization in dir, or at a URL, as one stream, with images replaced.
func Build(dir string, images ...Image) ([]byte, error) {
	fs := filesys.MakeFsOnDisk()
	if len(images) > 0 {
		overlay, err := filesys.NewTmpConfirmedDir()
		if err != nil {
			return nil, err
		}
		defer fs.RemoveAll(overlay.String())
		if dir, err = writeOverlay(fs, overlay.String(), dir, images); err != nil {
			return nil, err
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", dir, err)
	}
	return built.AsYaml()
}

// writeOverlay writes a kustomization over base into dir, as users do who have images of their own.
func writeOverlay(fs filesys.FileSystem, dir, base string, images []Image) (string, error) {
	absolute, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	relative, err := filepath.Rel(dir, absolute)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(types.Kustomization{Resources: []string{relative}, Images: images})
	if err != nil {
		return "", err
	}
	return dir, fs.WriteFile(filepath.Join(dir, "kustomization.yaml"), text)
}
