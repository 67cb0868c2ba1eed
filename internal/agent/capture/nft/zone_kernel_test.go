package nft_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

const greetingSize = 48

// greetAndEnd greets and then ends the connection as its peer asks: "c" by closing it, "r" by a reset, or when the peer does.
func greetAndEnd(greeting func(c *net.TCPConn) string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintf(c, "%-*s", greetingSize, greeting(c))
		word := make([]byte, 1)
		if _, err := io.ReadFull(c, word); err == nil && word[0] == 'r' {
			_ = c.SetLinger(0)
		}
	}
}

// callOnce calls from a port and ends the call in one of four ways, drawn by chance.
func callOnce(pod *netnstest.Net, from, mark int, to string) (string, error) {
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{Port: from}, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark))
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	var c net.Conn
	if err := pod.Do(func() (err error) { c, err = d.Dial("tcp", to); return err }); err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, greetingSize)
	if _, err := io.ReadFull(c, b); err != nil {
		return "", err
	}
	switch end := rand.IntN(4); end {
	case 0: // this side closes first
	case 1:
		_ = c.(*net.TCPConn).SetLinger(0)
	default:
		_, _ = io.WriteString(c, "cr"[end-2:end-1])
		_, _ = io.Copy(io.Discard, c)
	}
	return strings.TrimSpace(string(b)), nil
}

// TestAgentAndPodDrawTheSamePorts has the agent and its pod call the same destinations from the same few ports in turn, connections
// ending in all ways: every call of the pod's is captured for what it is, none of the agent's is.
func TestAgentAndPodDrawTheSamePorts(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	for _, at := range listening {
		pod.Handle(t, netip.MustParseAddrPort(at), greetAndEnd(capturedAs))
	}
	const firstCaptured, firstFree, end = 80, 82, 84
	for port := uint16(firstCaptured); port < end; port++ {
		for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			out.Handle(t, netip.AddrPortFrom(a, port), greetAndEnd(func(*net.TCPConn) string { return "direct" }))
		}
	}
	table := open(t, pod, options("ports"))
	install(t, table, intent.Redirect{Ports: []uint16{firstCaptured, firstCaptured + 1}})
	const calls = 3000
	made := 0
	for i := range calls {
		if i%100 == 0 {
			if err := table.Renew(); err != nil {
				t.Fatal(err)
			}
		}
		from, port := 20000+rand.IntN(4), firstCaptured+rand.IntN(end-firstCaptured)
		by, to := rand.IntN(2)*mark, net.JoinHostPort([]string{"10.99.0.1", "fd99::1"}[rand.IntN(2)], strconv.Itoa(port))
		want := "direct"
		if port < firstFree && by == 0 {
			want = "captured " + to
		}
		got, err := callOnce(pod, from, by, to)
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EADDRINUSE):
			continue // the former connection between these two ports lingers (TIME-WAIT)
		case err != nil || got != want:
			t.Fatalf("call %d from port %d to %s with mark %x: %q, %v, want %q", i, from, to, by, got, err, want)
		}
		made++
	}
	if made < calls/2 {
		t.Errorf("only %d of %d calls could be made", made, calls)
	}
}
