package krew

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// programs are stand-ins for those of all platforms.
func programs(t *testing.T) (all []Program) {
	t.Helper()
	for _, p := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte("program of "+p[0]+" "+p[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, Program{p[0], p[1], path})
	}
	return all
}

func written(t *testing.T, all []Program) (dir string, p Plugin) {
	t.Helper()
	dir = t.TempDir()
	if err := Write(Recipe{Version: "1.2.3", From: "https://downloads.example/v1.2.3/", License: "krew.go", Programs: all}, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "fairlead.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		t.Fatal(err)
	}
	return dir, p
}

// programOf returns the program that an archive has.
func programOf(t *testing.T, archive []byte) (name, content string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	h, err := r.Next()
	if err != nil || h.Mode != 0o755 {
		t.Fatal(h, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := r.Next(); err != nil || h.Name != "LICENSE" {
		t.Error("there is no license")
	}
	if _, err := r.Next(); err != io.EOF { //nolint:errorlint // Next returns io.EOF itself
		t.Error("there is more than the program and its license")
	}
	return h.Name, string(text)
}

// TestTheManifestNamesEveryArchive: by where it will be, by its checksum, and with the program that is in it.
func TestTheManifestNamesEveryArchive(t *testing.T) {
	all := programs(t)
	dir, p := written(t, all)
	if p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || p.Kind != "Plugin" || p.Metadata.Name != "fairlead" || p.Spec.Version != "v1.2.3" {
		t.Errorf("the manifest is %+v", p)
	}
	// As Krew's naming guide has it.
	if s := p.Spec.ShortDescription; len(s) > 50 || strings.HasSuffix(s, ".") || p.Spec.Homepage == "" {
		t.Errorf("the short description is %q", s)
	}
	if len(p.Spec.Platforms) != len(all) {
		t.Fatalf("%d platforms, want %d", len(p.Spec.Platforms), len(all))
	}
	seen := map[string]bool{}
	for i, of := range p.Spec.Platforms {
		platform := of.Selector.MatchLabels["os"] + "/" + of.Selector.MatchLabels["arch"]
		if seen[platform] || len(of.Selector.MatchLabels) != 2 {
			t.Errorf("%s is selected twice, or by more: %v", platform, of.Selector)
		}
		seen[platform] = true
		file, ok := strings.CutPrefix(of.URI, "https://downloads.example/v1.2.3/")
		if !ok {
			t.Errorf("%s is downloaded from %s", platform, of.URI)
		}
		archive, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(archive)
		if of.SHA256 != hex.EncodeToString(sum[:]) || !regexp.MustCompile(`^[a-f0-9]{64}$`).MatchString(of.SHA256) {
			t.Errorf("%s has another checksum than %s", file, of.SHA256)
		}
		name, content := programOf(t, archive)
		if name != of.Bin || content != "program of "+all[i].OS+" "+all[i].Arch {
			t.Errorf("%s has %s with %q", file, name, content)
		}
	}
}

// TestArchivesAreReproducible: made twice they are the same.
func TestArchivesAreReproducible(t *testing.T) {
	all := programs(t)
	_, once := written(t, all)
	_, again := written(t, all)
	for i := range once.Spec.Platforms {
		if once.Spec.Platforms[i].SHA256 != again.Spec.Platforms[i].SHA256 {
			t.Errorf("%s is another each time", once.Spec.Platforms[i].URI)
		}
	}
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	if err := Write(Recipe{Version: "1.2.3", Programs: []Program{{"linux", "amd64", filepath.Join(t.TempDir(), "none")}}}, t.TempDir()); err == nil {
		t.Error("it is packed")
	}
}
