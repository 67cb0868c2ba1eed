package turns

import (
	"encoding/binary"
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
func (e *event) raise(fd uintptr) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(int(fd), one[:]) // fails when they come to 2^64
}

// found does nothing: the poller reports an eventfd whenever it is written to anew, whether or not it was read.
func (e *event) found() {}
