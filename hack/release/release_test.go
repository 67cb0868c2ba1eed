package main

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// TestTheManifestsAreARemoteBase: from the URL of a repository and the tag of a release, config/release installs what install.yaml does, and the images that the chart names.
func TestTheManifestsAreARemoteBase(t *testing.T) {
	repository := t.TempDir()
	if err := os.CopyFS(filepath.Join(repository, "config"), os.DirFS(filepath.Join(tree, "config"))); err != nil {
		t.Fatal(err)
	}
	r := &release{tree: repository, version: "1.2.3", registry: "registry.example/fairlead"}
	if err := r.stamp(); err != nil {
		t.Fatal(err)
	}
	r.tree = tree
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "a"}, {"tag", "v1.2.3"},
	} {
		git(t, repository, args...)
	}
	r.out = t.TempDir()
	if err := r.writeManifests(nil); err != nil {
		t.Fatal(err)
	}
	installed, err := os.ReadFile(filepath.Join(r.out, "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	remote, err := manifests.Build("file://" + repository + "//config/release?ref=v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := objects.Parse(remote); err != nil || len(parsed) < 10 || string(remote) != string(installed) {
		t.Errorf("%d objects by URL (%v); the same as install.yaml: %v", len(parsed), err, string(remote) == string(installed))
	}
	chart, err := charts.Render(filepath.Join(tree, "charts", charts.Main), "fairlead-system", map[string]any{
		"image": map[string]any{"registry": r.registry, "tag": r.version}, "dashboard": map[string]any{"enabled": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := json.Marshal(chart)
	if err != nil {
		t.Fatal(err)
	}
	dashboard := buildRemote(t, "- file://"+repository+"//config/dashboard?ref=v1.2.3", "- file://"+repository+"//config/images?ref=v1.2.3")
	for name, of := range map[string][]byte{"manager": remote, "agent": remote, "dashboard": dashboard} {
		image := "registry.example/fairlead/" + name + ":1.2.3"
		if !strings.Contains(string(of), "image: "+image+"\n") || !strings.Contains(string(rendered), `"image":"`+image+`"`) {
			t.Errorf("the manifests by URL, or the chart, do not name %s", image)
		}
	}
}

// buildRemote builds the dashboard as docs/operations/install.md says it: what a repository has, with its images.
func buildRemote(t *testing.T, resource, component string) []byte {
	t.Helper()
	dir := t.TempDir()
	text := "resources:\n" + resource + "\ncomponents:\n" + component + "\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	built, err := manifests.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestAReleaseIsMadeFromACommitThatNamesIt: where config/release names other images than are made, or not all is committed, it is refused with what to do.
func TestAReleaseIsMadeFromACommitThatNamesIt(t *testing.T) {
	r := &release{tree: t.TempDir(), version: "1.2.3", registry: "registry.example/fairlead"}
	if err := os.CopyFS(filepath.Join(r.tree, "config/images"), os.DirFS(filepath.Join(tree, "config/images"))); err != nil {
		t.Fatal(err)
	}
	commit := func() {
		git(t, r.tree, "add", ".")
		git(t, r.tree, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "a")
	}
	refused := func(version, want string) {
		t.Helper()
		r.version = version
		if err := r.checkTree(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", version, err, want)
		}
	}
	git(t, r.tree, "init", "-q")
	commit()
	refused("1.2.3", "make release-images VERSION=1.2.3 REGISTRY=registry.example/fairlead")
	refused("1.2.3-rc.1", "make release-images VERSION=1.2.3-rc.1")
	refused("1.2.3-check", "")
	refused("1.2.3-dev.4", "")
	r.version = "1.2.3"
	if err := r.stamp(); err != nil {
		t.Fatal(err)
	}
	refused("1.2.3", "not committed")
	commit()
	refused("1.2.3", "")
	refused("1.2.4", "make release-images VERSION=1.2.4")
}

// TestTheImagesAreThoseOfOneRelease: what is committed is what make release-images writes for the version that it names.
func TestTheImagesAreThoseOfOneRelease(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, imagesFile))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`newName: (\S+)/agent\n  newTag: (\S+)\n`).FindSubmatch(text)
	if named == nil {
		t.Fatalf("%s names no image of the agent", imagesFile)
	}
	r := &release{tree: tree, version: string(named[2]), registry: string(named[1])}
	if string(text) != string(r.images()) {
		t.Errorf("%s is not what make release-images writes for %s:\n%s", imagesFile, r.version, r.images())
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

// TestProgramsKnowTheirCommit: whatever flags somebody has written into the environment of Go on the machine.
func TestProgramsKnowTheirCommit(t *testing.T) {
	repository := t.TempDir()
	for path, text := range map[string]string{"go.mod": "module a.example/a\n\ngo 1.24\n", "cmd/a/main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(repository, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(repository, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, repository, "init", "-q")
	git(t, repository, "add", ".")
	git(t, repository, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "a")
	commit := strings.TrimSpace(git(t, repository, "rev-parse", "HEAD"))
	environment := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(environment, []byte("GOFLAGS=-buildvcs=false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOENV", environment)
	built := program{name: "a", os: "linux", arch: "arm64", path: filepath.Join(t.TempDir(), "a")}
	if err := (&release{tree: repository}).build(built); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(built.path)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, s := range info.Settings {
		has[s.Key] = s.Value
	}
	if has["vcs.revision"] != commit || has["vcs.modified"] != "false" || has["GOARCH"] != "arm64" || has["-trimpath"] != "true" {
		t.Errorf("built of %s: %v", commit, has)
	}
}

// TestProgramsInTheClusterHaveNoTemplates: with these the linker keeps every method of every type, which is a sixth of an agent. The Dockerfile builds alike.
func TestProgramsInTheClusterHaveNoTemplates(t *testing.T) {
	for name, keeps := range map[string]bool{"agent": false, "manager": false, "dashboard": true} { // the dashboard's library of printers has some of its own
		cmd := exec.Command("go", "list", "-deps", "-tags", buildTags, "./cmd/"+name)
		cmd.Dir = tree
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		packages := strings.Fields(string(out))
		if len(packages) < 100 || slices.Contains(packages, "text/template") != keeps || slices.Contains(packages, "golang.org/x/net/trace") {
			t.Errorf("%s consists of %d packages; text/template is one of them: %v", name, len(packages), slices.Contains(packages, "text/template"))
		}
	}
	dockerfile, err := os.ReadFile(filepath.Join(tree, "Dockerfile"))
	if err != nil || !strings.Contains(string(dockerfile), "-tags "+buildTags+" ") {
		t.Errorf("the Dockerfile builds without the tags %s (%v)", buildTags, err)
	}
}

// git runs Git in a folder, and returns what it prints.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}
