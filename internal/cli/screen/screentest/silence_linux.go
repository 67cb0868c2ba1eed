package screentest

import (
	"os"

	"golang.org/x/sys/unix"
)

// silence has the terminal not echo what it answers to a program that has ended before the answer came.
func silence(tty *os.File) error {
	settings, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	settings.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, settings)
}
