package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// endedError is what a dialler says of a pod that is no more, without knowing this package.
type endedError struct{}

func (endedError) Error() string { return "the namespace is gone" }
func (endedError) Gone() bool    { return true }

func TestFailuresAreToldByTheirErrno(t *testing.T) {
	wants := map[call.Kind][]error{
		call.ConnectFailed: {
			syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EPROTO,
			syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETUNREACH, syscall.ENONET,
			syscall.EAFNOSUPPORT,
		},
		call.ConnectTimeout: {syscall.ETIMEDOUT, context.DeadlineExceeded, os.ErrDeadlineExceeded},
		call.ClientGone:     {context.Canceled, endedError{}},
		call.Internal:       {net.ErrClosed, errors.New("connection refused")},
	}
	counted := map[error]bool{}
	for _, errs := range wants {
		for _, err := range errs {
			counted[err] = true
		}
	}
	for errno := syscall.Errno(1); errno < 134; errno++ { // whatever else the kernel may say is not the upstream's doing
		if !counted[errno] {
			wants[call.Internal] = append(wants[call.Internal], errno)
		}
	}
	for want, errs := range wants {
		for _, err := range errs {
			for _, err := range []error{err, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}, fmt.Errorf("wrapped: %w", err)} {
				if got := FailureOf(err); got != want {
					t.Errorf("%v: got %v, want %v", err, got, want)
				}
			}
		}
	}
}

// Every connection to an upstream has somebody find out when the other host is gone.
func TestRule25_ConnectionsAreKeptAlive(t *testing.T) {
	option := func(t *testing.T, d *plainDialer, level, name int) (v int) {
		t.Helper()
		raw, err := d.last.Load().SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var inner error
		err = raw.Control(func(fd uintptr) { v, inner = unix.GetsockoptInt(int(fd), level, name) })
		if err := errors.Join(err, inner); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, tc := range map[string]struct {
		keepAlive policy.KeepAlive
		on        int
	}{
		"on":  {policy.KeepAlive{Idle: 7 * time.Second, Interval: 3 * time.Second, Probes: 5}, 1},
		"off": {policy.KeepAlive{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newPool(t, func(o *setup) { o.Limits.KeepAlive = tc.keepAlive }, listen(t).addr)
			c := take(t, p, request())
			defer c.Release(time.Now(), false)
			if on := option(t, d, unix.SOL_SOCKET, unix.SO_KEEPALIVE); on != tc.on {
				t.Fatalf("keep-alive is %d, want %d", on, tc.on)
			}
			if tc.on == 0 {
				return
			}
			got := [3]int{
				option(t, d, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), option(t, d, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL),
				option(t, d, unix.IPPROTO_TCP, unix.TCP_KEEPCNT),
			}
			if got != [3]int{7, 3, 5} {
				t.Errorf("idle, interval, probes: %v", got)
			}
		})
	}
}

// Only what the upstream is to blame for keeps an endpoint from being chosen.
func TestOwnFailuresAreNotHeldAgainstAnEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		down int
	}{
		"refused":   {syscall.ECONNREFUSED, 1},
		"timed out": {context.DeadlineExceeded, 1},
		"no ports":  {syscall.EADDRNOTAVAIL, 0},
		"pod gone":  {endedError{}, 0},
		"cancelled": {context.Canceled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newPool(t, nil, netip.MustParseAddrPort("127.0.0.1:1"))
			d.err = tc.err
			r := request()
			r.ask(p)
			if _, err := p.Dial(t.Context(), &r.Request); !errors.Is(err, tc.err) {
				t.Fatalf("got %v", err)
			}
			if len(p.down) != tc.down {
				t.Errorf("%d endpoints are down, want %d", len(p.down), tc.down)
			}
		})
	}
}
