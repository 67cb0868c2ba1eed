package apivalidation

import (
	"os"
	"path/filepath"
	"testing"
)

// What kubectl fairlead suggest prints is accepted.
func TestSuggestedPoliciesAreAccepted(t *testing.T) {
	needAPIServer(t)
	files, err := filepath.Glob(filepath.Join(repository, "internal/cli/suggest/testdata/*.golden"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) { mustAccept(t, policyOf(t, file, string(text))) })
	}
}
