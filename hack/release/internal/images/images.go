// Package images makes the images of a release: one static program on an empty base, for several platforms, as an OCI archive. The same programs
// give the same archive.
package images

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Recipe says what an image holds.
type Recipe struct {
	Name     string            // of the program, which becomes /NAME and the entry point
	Tag      string            // as registry.example/manager:1.2.3
	Version  string            // for its labels
	User     string            // "UID:GID"
	Roots    bool              // with the public certificate authorities
	Programs map[string]string // paths of the program by architecture
}

// Written is an image that was written.
type Written struct {
	Digest string
	Sizes  []Size // by architecture
}

// Size is how large an image is for one architecture, in bytes.
type Size struct {
	Arch     string
	Pulled   int64 // compressed
	Unpacked int64
}

// Write writes the image for all its platforms as an OCI archive to path.
func Write(r Recipe, path string) (Written, error) {
	var w Written
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(r.Programs)) {
		image, err := compose(r, arch)
		if err != nil {
			return Written{}, fmt.Errorf("image %s for %s: %w", r.Tag, arch, err)
		}
		size, err := sizeOf(image, arch)
		if err != nil {
			return Written{}, err
		}
		w.Sizes = append(w.Sizes, size)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	hash, err := index.Digest()
	if err != nil {
		return Written{}, err
	}
	w.Digest = hash.String()
	dir, err := os.MkdirTemp("", "fairlead-image")
	if err != nil {
		return Written{}, err
	}
	defer os.RemoveAll(dir)
	archive, err := layout.Write(dir, empty.Index)
	if err != nil {
		return Written{}, err
	}
	// The first name is for skopeo and its kin, the second one for containerd.
	names := map[string]string{"org.opencontainers.image.ref.name": r.Version, "io.containerd.image.name": r.Tag}
	if err := archive.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return Written{}, err
	}
	return w, writeArchive(dir, path)
}

// sizeOf adds up the layers of an image.
func sizeOf(image v1.Image, arch string) (Size, error) {
	s := Size{Arch: arch}
	layers, err := image.Layers()
	if err != nil {
		return s, err
	}
	for _, layer := range layers {
		pulled, err := layer.Size()
		if err != nil {
			return s, err
		}
		content, err := layer.Uncompressed()
		if err != nil {
			return s, err
		}
		unpacked, err := io.Copy(io.Discard, content)
		if err := errors.Join(err, content.Close()); err != nil {
			return s, err
		}
		s.Pulled, s.Unpacked = s.Pulled+pulled, s.Unpacked+unpacked
	}
	return s, nil
}

// compose makes the image for one architecture.
func compose(r Recipe, arch string) (v1.Image, error) {
	content, err := fileSystem(r, arch)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy() // it lists the layers, which stay
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{
		Entrypoint: []string{"/" + r.Name},
		User:       r.User,
		Env:        []string{"PATH=/"},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "fairlead " + r.Name,
			"org.opencontainers.image.version":  r.Version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// fileSystem is the layer of an image, as a tar archive.
func fileSystem(r Recipe, arch string) ([]byte, error) {
	program, err := os.ReadFile(r.Programs[arch])
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := add(w, r.Name, 0o755, program); err != nil {
		return nil, err
	}
	if r.Roots {
		if err := add(w, "etc/ssl/certs/ca-certificates.crt", 0o644, publicRoots()); err != nil {
			return nil, err
		}
	}
	err = w.Close() // which writes the end of the archive
	return b.Bytes(), err
}

// publicRoots are the certificate authorities that Mozilla trusts without conditions, in PEM.
func publicRoots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}

// writeArchive packs the files below dir.
func writeArchive(dir, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	// Walked in lexical order.
	err = filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return add(w, filepath.ToSlash(name), 0o644, content)
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// add adds a file to an archive. Times are left out: they would change the digest.
func add(w *tar.Writer, name string, mode int64, content []byte) error {
	h := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
