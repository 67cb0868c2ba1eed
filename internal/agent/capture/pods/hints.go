package pods

import (
	"os"

	"golang.org/x/sys/unix"
)

// hints say when network namespaces come or go in a folder.
type hints struct {
	file *os.File
	done chan struct{}
	err  error // why there are none
}

// watchFolder calls hint, which must not block, whenever something in the folder is made or removed.
func watchFolder(folder string, hint func()) hints {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return hints{err: os.NewSyscallError("inotify_init1", err)}
	}
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_TO); err != nil {
		_ = unix.Close(fd)
		return hints{err: os.NewSyscallError("inotify_add_watch", err)}
	}
	h := hints{file: os.NewFile(uintptr(fd), "inotify"), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		events := make([]byte, 4096) // what they say does not matter
		for {
			if _, err := h.file.Read(events); err != nil {
				return
			}
			hint()
		}
	}()
	return h
}

func (h hints) stop() {
	if h.file != nil {
		_ = h.file.Close()
		<-h.done
	}
}
