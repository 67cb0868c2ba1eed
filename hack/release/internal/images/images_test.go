package images

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// recipe writes a program for each architecture.
func recipe(t *testing.T) Recipe {
	t.Helper()
	r := Recipe{
		Name: "agent", Tag: "registry.example/agent:1.2.3", Version: "1.2.3", User: "0:0", Roots: true,
		Programs: map[string]string{"amd64": filepath.Join(t.TempDir(), "a"), "arm64": filepath.Join(t.TempDir(), "b")},
	}
	for arch, path := range r.Programs {
		if err := os.WriteFile(path, []byte("a program for "+arch), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// unpack writes the files of an archive into a folder of the test's.
func unpack(t *testing.T, archive []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files(t, bytes.NewReader(archive)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func files(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	found := map[string]string{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = string(content)
	}
}

func write(t *testing.T) (digest string, archive []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.oci.tar")
	written, err := Write(recipe(t), path)
	if err != nil {
		t.Fatal(err)
	}
	if archive, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	for i, size := range written.Sizes {
		program, roots := int64(len("a program for "+size.Arch)), int64(len(publicRoots()))
		// Beside its files the archive has a head of 512 bytes for each, both filled up to 512, and as much at its end.
		if size.Arch != []string{"amd64", "arm64"}[i] || size.Unpacked < program+roots || size.Unpacked > program+roots+8<<10 || size.Pulled <= 0 || size.Pulled >= size.Unpacked {
			t.Errorf("sizes are %+v, of a program of %d bytes and roots of %d", written.Sizes, program, roots)
		}
	}
	if len(written.Sizes) != 2 {
		t.Errorf("there are sizes %+v", written.Sizes)
	}
	return written.Digest, archive
}

// TestTheSameProgramsGiveTheSameArchive: so that whoever builds a release again can compare.
func TestTheSameProgramsGiveTheSameArchive(t *testing.T) {
	digest, archive := write(t)
	again, same := write(t)
	if digest != again || !bytes.Equal(archive, same) {
		t.Errorf("the same programs gave %s and %s, archives alike: %v", digest, again, bytes.Equal(archive, same))
	}
}

// TestAnArchiveHasAnImageForEachPlatform: what others read of it is what the recipe says.
func TestAnArchiveHasAnImageForEachPlatform(t *testing.T) {
	digest, archive := write(t)
	path, err := layout.FromPath(unpack(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != digest {
		t.Fatalf("the archive has %v, want %s alone", manifest.Manifests, digest)
	}
	want := map[string]string{"org.opencontainers.image.ref.name": "1.2.3", "io.containerd.image.name": "registry.example/agent:1.2.3"}
	if diff := cmp.Diff(want, manifest.Manifests[0].Annotations); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	platforms, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var archs []string
	for _, d := range platforms.Manifests {
		archs = append(archs, d.Platform.String())
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, image, d.Platform.Architecture)
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, archs); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

func checkImage(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; config.Architecture != arch || config.OS != "linux" || c.User != "0:0" || len(c.Entrypoint) != 1 || c.Entrypoint[0] != "/agent" {
		t.Errorf("%s: %s/%s runs %v as %q", arch, config.OS, config.Architecture, c.Entrypoint, c.User)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	archive, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if end := make([]byte, 1024); len(archive)%512 != 0 || !bytes.HasSuffix(archive, end) {
		t.Errorf("%s: the layer has %d bytes, and does not end as archives do, which tar says", arch, len(archive))
	}
	found := files(t, bytes.NewReader(archive))
	if found["agent"] != "a program for "+arch || len(found) != 2 {
		t.Errorf("%s: the program is %q, and there are %d files", arch, found["agent"], len(found))
	}
	roots := found["etc/ssl/certs/ca-certificates.crt"]
	if n := strings.Count(roots, "BEGIN CERTIFICATE"); n < 50 || !x509.NewCertPool().AppendCertsFromPEM([]byte(roots)) {
		t.Errorf("%s: %d public roots", arch, n)
	}
}
