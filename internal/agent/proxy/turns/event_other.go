//go:build !linux

package turns

import "os"

// event is a pipe: it can be read from once something was written to it.
type event struct {
	*os.File
	writes *os.File
}

func (e *event) open() (err error) {
	e.File, e.writes, err = os.Pipe()
	return err
}

// raise makes the event happen.
func (e *event) raise(uintptr) {
	_, _ = e.writes.Write([]byte{1}) // there is room: what was written before was read
}

// found takes back what raise has written, so that there is always room.
func (e *event) found() { _, _ = e.Read(make([]byte, 1)) }
