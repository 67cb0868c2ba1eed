package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// handshakeFD is the file descriptor on which a child waits for its parent's word. A parent first
// records the child and plugs in its network, then says go; if the parent dies before, the child
// reads end-of-file and leaves, so a crash half-way leaves no process that nobody recorded.
const handshakeFD = 3

var errParentGone = errors.New("parent went away before the start")

// gate is the parent's end of the handshake.
type gate struct{ w *os.File }

// newGate arranges for cmd to wait at its start, see awaitGate.
func newGate(cmd *exec.Cmd) (*gate, func(), error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make handshake pipe: %w", err)
	}
	cmd.ExtraFiles = []*os.File{r}
	return &gate{w: w}, func() { r.Close() }, nil
}

// open lets the child run.
func (g *gate) open() error {
	defer g.w.Close()
	_, err := g.w.Write([]byte{1})
	return err
}

// abandon makes the child leave.
func (g *gate) abandon() { g.w.Close() }

// awaitGate blocks until the parent opens the gate.
func awaitGate() error {
	f := os.NewFile(handshakeFD, "handshake")
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
		return errParentGone
	}
	return nil
}
