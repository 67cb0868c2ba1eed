package netns

import (
	"os"
	"syscall"
)

// Namespace is another network namespace than the process's own, kept alive until Close. All methods may be used concurrently;
// after Close they fail with os.ErrClosed and never touch a namespace that happens to have got the same descriptor.
type Namespace struct {
	// immutable after Open
	host *Host
	file *os.File
	raw  syscall.RawConn
	id   ID
}

// ID identifies the namespace.
func (n *Namespace) ID() ID { return n.id }

// Close releases the namespace. Sockets made inside keep it alive on their own.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs fn with the calling thread inside the namespace. fn must not start goroutines, block, resolve names or log. When the
// thread cannot be brought back the process ends.
func (n *Namespace) Do(fn func() error) error {
	var inner error
	// Control holds the descriptor open while it runs, so a concurrent Close cannot make it another namespace's.
	if err := n.raw.Control(func(fd uintptr) { inner = n.host.inside(int(fd), fn) }); err != nil {
		return os.ErrClosed
	}
	return inner
}
