package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/hack/release/internal/charts"
	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/objects"
	"fairlead.dev/fairlead/hack/release/internal/sbom"
)

const tree = "../.."

// TestManifestsOfAReleaseAreReproducibleAndPinned: made twice they are the same, and name the images by their digests.
func TestManifestsOfAReleaseAreReproducibleAndPinned(t *testing.T) {
	digests := map[string]string{"manager": "sha256:" + strings.Repeat("a", 64), "agent": "sha256:" + strings.Repeat("b", 64)}
	var sums [2]string
	for i := range sums {
		r := &release{tree: tree, out: t.TempDir(), version: "1.2.3", registry: "registry.example/fairlead"}
		if err := r.writeManifests(digests); err != nil {
			t.Fatal(err)
		}
		if err := writeChecksums(r.out); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(r.out, "checksums.txt"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
		if i == 0 {
			checkPinned(t, r.out, digests)
		}
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 3 {
		t.Errorf("checksums of one:\n%sof another:\n%s", sums[0], sums[1])
	}
}

// checkPinned compares the images of install.yaml with those of the charts.
func checkPinned(t *testing.T, dir string, digests map[string]string) {
	t.Helper()
	installed, err := os.ReadFile(filepath.Join(dir, "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	chart, err := charts.Render(filepath.Join(dir, "fairlead-1.2.3.tgz"), "fairlead-system", nil)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := json.Marshal(chart)
	if err != nil {
		t.Fatal(err)
	}
	for name, digest := range digests {
		want := "registry.example/fairlead/" + name + ":1.2.3@" + digest
		if !strings.Contains(string(installed), "image: "+want+"\n") || !strings.Contains(string(rendered), `"image":"`+want+`"`) {
			t.Errorf("install.yaml or the chart does not name %s", want)
		}
	}
	if _, err := charts.Render(filepath.Join(dir, "fairlead-crds-1.2.3.tgz"), "fairlead-system", nil); err != nil {
		t.Error(err)
	}
}

// TestTheManifestsAreARemoteBase: a kustomization may name config/default in a repository by its URL and a tag.
func TestTheManifestsAreARemoteBase(t *testing.T) {
	repository := t.TempDir()
	if err := os.CopyFS(filepath.Join(repository, "config"), os.DirFS(filepath.Join(tree, "config"))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "a"}, {"tag", "v1.2.3"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = repository
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	remote, err := manifests.Build("file://" + repository + "//config/default?ref=v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	local, err := manifests.Build(filepath.Join(tree, "config/default"))
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := objects.Parse(remote); err != nil || len(parsed) < 10 || string(remote) != string(local) {
		t.Errorf("%d objects by URL (%v); the same as by path: %v", len(parsed), err, string(remote) == string(local))
	}
}

// TestComponentsOfAProgram: an SBOM names the modules of a program with their versions, and is the same for the same program.
func TestComponentsOfAProgram(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var written [2]string
	for i := range written {
		path := filepath.Join(t.TempDir(), "sbom.json")
		if err := sbom.Write(program, "1.2.3", path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(text)
	}
	if written[0] != written[1] {
		t.Error("two SBOMs of one program differ")
	}
	var bom struct {
		BOMFormat  string
		Metadata   struct{ Component struct{ Version string } }
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(written[0]), &bom); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range bom.Components {
		found[c.Name] = c.Version != "" && strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@")
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != "v1.2.3" || !found["helm.sh/helm/v4"] || !found["std"] {
		t.Errorf("the SBOM is of %q, version %q, with %v", bom.BOMFormat, bom.Metadata.Component.Version, found)
	}
}

// TestPlatforms: what runs in the cluster is for nodes, anything else for whoever runs it.
func TestPlatforms(t *testing.T) {
	if n := len(platforms("manager")); n != 2 {
		t.Errorf("manager: %d platforms", n)
	}
	systems := map[string]int{}
	for _, p := range platforms("kubectl-fairlead") {
		systems[p[0]]++
	}
	if systems["linux"] != 2 || systems["darwin"] != 2 || len(systems) != 2 {
		t.Errorf("kubectl-fairlead: %v", systems)
	}
}
