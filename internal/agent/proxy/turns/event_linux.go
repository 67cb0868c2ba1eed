package turns

import (
	"os"

	"golang.org/x/sys/unix"
)

// event is an eventfd: it can be read from once something was written to it.
type event struct{ *os.File }

func (e *event) open() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	e.File = os.NewFile(uintptr(fd), "eventfd")
	return nil
}

// raise makes the event happen, given its descriptor.
func (e *event) raise(fd uintptr, count []byte) {
	_, _ = unix.Write(int(fd), count) // cannot fail: nobody else writes
}
