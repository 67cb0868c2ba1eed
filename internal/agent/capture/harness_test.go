package capture_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers a captured connection with its agent's name, pod and original destination, and then echoes.
type echo struct{ agent string }

func (e echo) ServeCaptured(pod capture.PodRef, conn *os.File, original netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s %s %s", e.agent, pod.UID, original); err == nil {
		_, _ = io.Copy(conn, conn)
	}
}

// bench is a running manager.
type bench struct {
	*capture.Manager
	stop func() error // graceful, once

	mu     sync.Mutex
	events []capture.Event
}

func (b *bench) saw(kind capture.EventKind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func run(t testing.TB, host *netns.Host, at capture.Sandboxes, change func(*capture.Options)) *bench {
	t.Helper()
	b := &bench{}
	o := capture.Options{Host: host, Sandboxes: at, Handler: echo{"agent"}, Log: slog.New(slog.DiscardHandler), Grace: 5 * time.Second,
		Mechanism: nft.New,
		OnEvent: func(e capture.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
			if e.Err != nil {
				t.Logf("%s %s: %v", e.Kind, e.Pod.UID, e.Err)
			}
		}}
	if change != nil {
		change(&o)
	}
	m, err := capture.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) want(t testing.TB, specs ...capture.PodSpec) {
	t.Helper()
	desired := map[string]capture.PodSpec{}
	for _, s := range specs {
		desired[s.Pod.UID] = s
	}
	b.Reconcile(desired)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.AwaitReached(ctx); err != nil {
		t.Fatalf("%v: %+v", err, b.State())
	}
	if p := b.Problems(); len(p) > 0 {
		t.Fatalf("problems: %+v", p)
	}
}

func spec(uid string, r intent.Redirect) capture.PodSpec {
	return capture.PodSpec{Pod: ref(uid), Redirect: r}
}

var everything = intent.Redirect{All: true}

// pod is a pod's network namespace as its processes see it.
type pod struct {
	*netnstest.Net
	kernel kernel
}

// pair makes a pod and the world that it calls.
func pair(t testing.TB, host *netns.Host, k kernel) (*pod, *netnstest.Net) {
	t.Helper()
	n, world := netnstest.Pair(t, host)
	return &pod{n, k}, world
}

// dial connects as a process of the pod does.
func (p *pod) dial(t testing.TB, to netip.AddrPort) (*net.TCPConn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := p.kernel.dial(ctx, p.Net, to)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c, err
}

// call returns what a connection reads first.
func (p *pod) call(t testing.TB, to string) (string, error) {
	t.Helper()
	c, err := p.dial(t, netip.MustParseAddrPort(to))
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	b := make([]byte, 64)
	k, err := c.Read(b)
	return string(b[:k]), err
}

// left is what is left in the pod of what redirected.
func (p *pod) left(t testing.TB) string {
	t.Helper()
	return p.kernel.left(t, p.Net)
}

func expect(t testing.TB, p *pod, to, want string) {
	t.Helper()
	got, err := p.call(t, to)
	if err != nil || got != want {
		t.Errorf("call to %s: got %q, %v, want %q", to, got, err, want)
	}
}

func serve(t testing.TB, n *netnstest.Net) {
	t.Helper()
	n.Serve(t, netip.AddrPortFrom(netip.IPv4Unspecified(), 80), "direct")
	n.Serve(t, netip.AddrPortFrom(netip.IPv6Unspecified(), 80), "direct")
}

func open(t testing.TB, p *pod, to, greeting string) *net.TCPConn {
	t.Helper()
	c, err := p.dial(t, netip.MustParseAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := hear(c, greeting); err != nil {
		t.Fatal(err)
	}
	return c
}

func hear(c net.Conn, want string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		return fmt.Errorf("heard %q, %w, want %q", b, err, want)
	}
	return nil
}

func talk(c net.Conn, message string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	return hear(c, message)
}
