package transport

import (
	"errors"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// pipe holds what is on its way from one socket to another in the kernel.
type pipe struct {
	ends    pipeEnds
	held    int
	cleanup runtime.Cleanup
}

type pipeEnds struct{ read, write int }

func (e pipeEnds) close() {
	_ = unix.Close(e.read)
	_ = unix.Close(e.write)
}

// pipes are the empty ones that nobody uses. Those that the garbage collector takes are closed.
var pipes sync.Pool

// takePipe returns nil when there are no descriptors left.
func takePipe() *pipe {
	if p, ok := pipes.Get().(*pipe); ok {
		return p
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	p := &pipe{ends: pipeEnds{fds[0], fds[1]}}
	p.cleanup = runtime.AddCleanup(p, pipeEnds.close, p.ends)
	// A smaller pipe, where the system does not allow this, takes more system calls.
	_, _ = unix.FcntlInt(uintptr(p.ends.write), unix.F_SETPIPE_SZ, MaxMove)
	return p
}

// putBack must be called when p is not used any more.
func (p *pipe) putBack() {
	if p.held == 0 {
		pipes.Put(p)
		return
	}
	p.cleanup.Stop()
	p.ends.close()
}

// fill takes what waits at a socket, n bytes at most. Nothing at all is no error.
func (p *pipe) fill(fd, n int) (int, error) {
	moved, err := trySplice(fd, p.ends.write, n)
	p.held += moved
	return moved, err
}

// drain has a connection take what is in the pipe.
func (p *pipe) drain(dst *Conn) (int64, error) {
	total := 0
	var failed error
	err := dst.raw.Write(func(fd uintptr) bool {
		var n int
		for p.held > 0 {
			if n, failed = trySplice(p.ends.read, int(fd), p.held); n == 0 {
				return failed != nil
			}
			p.held -= n
			total += n
		}
		return true
	})
	if err != nil {
		return int64(total), cause(err)
	}
	return int64(total), failed
}

// trySplice moves nothing when it would have to wait.
func trySplice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil:
			return int(moved), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		default:
			return 0, err
		}
	}
}
