package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrOwn refuses the namespace this process lives in: nothing is ever changed there.
var ErrOwn = errors.New("this is the process's own network namespace")

// ErrNotNamespace says that a path is there but no network namespace is mounted on it. A runtime makes the file before it
// mounts the namespace, and a mount may not have propagated yet, so trying again later can help.
var ErrNotNamespace = errors.New("not a network namespace")

// ID tells namespaces apart. It may be used again by the kernel only after the last reference to the namespace is gone.
type ID struct{ Device, Inode uint64 }

// String shows the inode as /proc does.
func (id ID) String() string { return fmt.Sprintf("net:[%d]", id.Inode) }

// Host is the network namespace the process lives in, to which every thread returns that has entered another.
type Host struct {
	// immutable after OpenHost
	file *os.File
	fd   int // of file, which stays open as long as Host is used
	id   ID
}

// OpenHost remembers the namespace of the calling thread. Call it before anything enters another one.
func OpenHost() (*Host, error) {
	file, id, err := open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open own network namespace: %w", err)
	}
	return &Host{file: file, fd: int(file.Fd()), id: id}, nil
}

// ID identifies the process's own namespace.
func (h *Host) ID() ID { return h.id }

// Close releases the namespace. No Do may be under way or follow.
func (h *Host) Close() error { return h.file.Close() }

// Open opens the network namespace mounted at path. It fails with ErrOwn, ErrNotNamespace, or the error of opening the file.
func (h *Host) Open(path string) (*Namespace, error) {
	file, id, err := open(path)
	if err != nil {
		return nil, err
	}
	if id == h.id {
		_ = file.Close()
		return nil, fmt.Errorf("open %s: %w", path, ErrOwn)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Namespace{host: h, file: file, raw: raw, id: id}, nil
}

func open(path string) (*os.File, ID, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, ID{}, err
	}
	id, err := identify(file)
	if err != nil {
		_ = file.Close()
		return nil, ID{}, fmt.Errorf("open %s: %w", path, err)
	}
	return file, id, nil
}

func identify(file *os.File) (ID, error) {
	fd := int(file.Fd())
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return ID{}, os.NewSyscallError("fstatfs", err)
	}
	if fs.Type != unix.NSFS_MAGIC {
		return ID{}, ErrNotNamespace
	}
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil {
		return ID{}, os.NewSyscallError("ioctl NS_GET_NSTYPE", err)
	} else if kind != unix.CLONE_NEWNET {
		return ID{}, ErrNotNamespace
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return ID{}, os.NewSyscallError("fstat", err)
	}
	return ID{Device: st.Dev, Inode: st.Ino}, nil
}

// Scratch makes a namespace with nothing in it, which is gone when it is closed. It is for finding out what the kernel can do.
func (h *Host) Scratch() (*Namespace, error) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, os.NewSyscallError("unshare", err)
	}
	defer h.restore()
	return h.Open("/proc/thread-self/ns/net")
}

// inside runs fn with the calling thread inside the namespace of fd.
func (h *Host) inside(fd int, fn func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("setns", err)
	}
	defer h.restore()
	return fn()
}

func (h *Host) restore() {
	if err := unix.Setns(h.fd, unix.CLONE_NEWNET); err != nil {
		crash(err)
	}
	runtime.UnlockOSThread()
}

// crash ends the process from a goroutine that nobody's recover guards, and never unlocks the thread: whatever ran on it
// would run inside a pod.
func crash(err error) {
	go panic(fmt.Sprintf("netns: cannot return to the process's own network namespace: %v", err))
	select {}
}
