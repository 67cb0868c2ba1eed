package image

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestBuild(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "hello")
	if err := os.WriteFile(program, []byte("first"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := Recipe{Tag: "fairlead.dev/hello:dev", Program: program, User: "1:2"}
	archive := filepath.Join(dir, "out", "hello.tar")
	first := mustBuild(t, r, archive)
	if again := mustBuild(t, r, filepath.Join(dir, "again.tar")); again != first {
		t.Errorf("the same program gave %s and %s", first, again)
	}
	tag, err := name.NewTag(r.Tag)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "1:2" || len(c.Entrypoint) != 1 || c.Entrypoint[0] != "/hello" {
		t.Errorf("configuration %+v", c)
	}
	if err := os.WriteFile(program, []byte("second"), 0o755); err != nil {
		t.Fatal(err)
	}
	if changed := mustBuild(t, r, archive); changed == first {
		t.Errorf("another program gave the same digest %s", first)
	}
}

func mustBuild(t *testing.T, r Recipe, path string) string {
	t.Helper()
	digest, err := Build(r, path)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
