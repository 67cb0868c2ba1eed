package capture_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// dialFor dials as the agent does for pod "a", and returns the connection with what package net offers besides.
func dialFor(t testing.TB, b *bench, to string) (*net.TCPConn, error) {
	t.Helper()
	s, err := b.Dialer("a").Dial(t.Context(), netip.MustParseAddrPort(to))
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	fd, err := unix.Dup(int(s.(interface{ Fd() uintptr }).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "")
	defer func() { _ = file.Close() }()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), nil
}
