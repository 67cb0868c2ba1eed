package cgroup_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"fairlead.dev/fairlead/internal/cgroup"
)

// TestTheHeapFollowsTheLimitOfMemory unless GOMEMLIMIT says otherwise.
func TestTheHeapFollowsTheLimitOfMemory(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"memory.max": "1000000000\n", "memory.current": "1\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	memory, err := cgroup.Open(root, filepath.Join(root, "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "off") // panics in a test that runs beside others: the limit is the whole process's
	memory.LimitHeap(75, slog.New(slog.DiscardHandler))
	if now := debug.SetMemoryLimit(-1); now != before {
		t.Errorf("the heap is limited to %d bytes in spite of GOMEMLIMIT", now)
	}
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	memory.LimitHeap(75, slog.New(slog.DiscardHandler))
	if now := debug.SetMemoryLimit(-1); now != 750_000_000 {
		t.Errorf("the heap is limited to %d bytes, want three quarters of the memory", now)
	}
}
