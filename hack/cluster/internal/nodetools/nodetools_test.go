package nodetools

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestForbidServices(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	restore, err := forbidServices(policy)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(policy)
	if err != nil || info.Mode()&0o111 == 0 {
		t.Fatalf("policy is not executable: %v, %v", info, err)
	}
	restore()
	if _, err := os.Stat(policy); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("our policy stayed: %v", err)
	}
}

func TestForbidServicesRespectsAPolicy(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	if err := os.WriteFile(policy, []byte("theirs"), 0o755); err != nil {
		t.Fatal(err)
	}
	restore, err := forbidServices(policy)
	if err != nil {
		t.Fatal(err)
	}
	restore()
	if b, err := os.ReadFile(policy); err != nil || string(b) != "theirs" {
		t.Errorf("their policy is now %q, %v", b, err)
	}
}
