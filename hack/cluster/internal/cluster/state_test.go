package cluster

import (
	"errors"
	"os"
	"testing"
)

func TestFind(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	c, err := New("other")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Find(); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it is made: %v, want ErrNotFound", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.save(&state{Nodes: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Find(); err != nil {
		t.Errorf("once it is recorded: %v", err)
	}
}
