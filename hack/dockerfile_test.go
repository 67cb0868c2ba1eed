package hack_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	copied   = regexp.MustCompile(`(?m)^COPY ([a-z]+)/ ([a-z]+)/$`)
	programs = regexp.MustCompile(`for program in ([a-z ]+);`)
)

// TestTheDockerfileHasWhatItCompiles: the folders that it copies, and .dockerignore leaves in, hold every package of ours that its programs consist of.
func TestTheDockerfileHasWhatItCompiles(t *testing.T) {
	file, kept := read(t, "Dockerfile"), strings.Fields(read(t, ".dockerignore"))
	m := programs.FindStringSubmatch(file)
	if m == nil {
		t.Fatal("the Dockerfile has no line \"for program in ...;\"")
	}
	args := []string{"list", "-pgo=off", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}"}
	for _, name := range strings.Fields(m[1]) {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, c := range copied.FindAllStringSubmatch(file, -1) {
		if folders = append(folders, c[1]); !slices.Contains(kept, "!"+c[1]) {
			t.Errorf(".dockerignore leaves out %s, which the Dockerfile copies", c[1])
		}
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 || len(folders) < 3 {
		t.Fatalf("%d packages in %d folders", len(packages), len(folders))
	}
	for _, p := range packages {
		if folder, _, _ := strings.Cut(strings.TrimPrefix(p, module), "/"); !slices.Contains(folders, folder) {
			t.Errorf("the Dockerfile does not copy the folder of %s, which its programs import", p)
		}
	}
}
