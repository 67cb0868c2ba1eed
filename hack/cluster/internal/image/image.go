// Package image makes container images without a container engine: one static program on an empty
// base. It must not know which images there are.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Recipe says what an image holds.
type Recipe struct {
	Tag     string // as fairlead.dev/manager:dev
	Program string // path of the program, which becomes /NAME and the entry point
	User    string // "UID:GID"
}

// Build stores the image as an archive at path and returns its digest. The same program gives the
// same digest, whenever it is built.
func Build(r Recipe, path string) (digest string, err error) {
	tag, err := name.NewTag(r.Tag)
	if err != nil {
		return "", fmt.Errorf("image name: %w", err)
	}
	img, err := compose(r)
	if err != nil {
		return "", fmt.Errorf("compose image %s: %w", r.Tag, err)
	}
	hash, err := img.ConfigName()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		return "", fmt.Errorf("write image %s: %w", r.Tag, err)
	}
	return hash.String(), nil
}

func compose(r Recipe) (v1.Image, error) {
	program, err := os.ReadFile(r.Program)
	if err != nil {
		return nil, err
	}
	entry := "/" + filepath.Base(r.Program)
	content, err := layerTar(entry, program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompression(compression.None)) // it only travels across this machine
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy() // it lists the layers, which stay
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: []string{entry},
		User:       r.User,
		Env:        []string{"PATH=/"},
		WorkingDir: "/",
	}
	return mutate.ConfigFile(img, config)
}

// layerTar is a file system with one program. Times are left out: they would change the digest.
func layerTar(entry string, program []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: entry[1:], Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if err := w.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
