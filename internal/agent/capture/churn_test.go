package capture_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestRule38_ChurnLeavesNothing has 240 pods come and go, some with open connections, some unwanted before they end.
func TestRule38_ChurnLeavesNothing(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	at := newSandboxes()
	b := run(t, host, at, nil)
	folder := t.TempDir()
	const rounds, perRound = 8, 30
	var fds, goroutines int
	for round := range rounds {
		desired := map[string]capture.PodSpec{}
		var nets []*netnstest.Net
		for i := range perRound {
			uid := fmt.Sprintf("%d-%d", round, i)
			path := filepath.Join(folder, uid)
			netnstest.Mount(t, path)
			ns, err := host.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			nets = append(nets, &netnstest.Net{Path: path, Namespace: ns})
			netnstest.RouteAllToLoopback(t, nets[i])
			at.run(uid, uid, path)
			desired[uid] = spec(uid, intent.Redirect{Ports: []uint16{80}})
		}
		b.Reconcile(desired)
		netnstest.Eventually(t, 10*time.Second, "all are captured", func() bool { return b.Stats().Captured == perRound })
		var calls []io.Closer
		for i := 0; i < perRound; i += 3 {
			calls = append(calls, open(t, &pod{nets[i], nftKernel{}}, "192.0.2.1:80", fmt.Sprintf("agent %d-%d 192.0.2.1:80", round, i)))
		}
		if round%2 == 1 {
			b.Reconcile(map[string]capture.PodSpec{})
		}
		for i, n := range nets {
			_ = n.Close()
			netnstest.Unmount(n.Path)
			at.end(fmt.Sprintf("%d-%d", round, i))
		}
		netnstest.Eventually(t, 10*time.Second, "all captures have ended", func() bool {
			return b.saw(capture.Ended)+b.saw(capture.Released) == (round+1)*perRound && b.Stats().Connections == 0
		})
		for _, c := range calls {
			_ = c.Close()
		}
		if round == 0 {
			fds, goroutines = descriptors(t), runtime.NumGoroutine()
		}
	}
	netnstest.Eventually(t, 5*time.Second, "no more goroutines than after the first round", func() bool {
		return runtime.NumGoroutine() <= goroutines+2
	})
	if now := descriptors(t); now > fds+2 {
		t.Errorf("%d descriptors after the first round, %d after the last", fds, now)
	}
}

// BenchmarkIdle measures what 100 captured pods cost while nothing happens, as a share of one core.
func BenchmarkIdle(b *testing.B) {
	netnstest.Privileged(b)
	host := netnstest.Host(b)
	at := newSandboxes()
	m := run(b, host, at, nil)
	desired := map[string]capture.PodSpec{}
	for i := range 100 {
		uid := fmt.Sprint(i)
		n := netnstest.New(b, host)
		at.run(uid, uid, n.Path)
		desired[uid] = spec(uid, intent.Redirect{Ports: []uint16{80}})
	}
	m.Reconcile(desired)
	netnstest.Eventually(b, 10*time.Second, "all are captured", func() bool { return m.Stats().Captured == 100 })
	for b.Loop() {
		start, before := time.Now(), cpu(b)
		<-time.After(5 * time.Second)
		b.ReportMetric(100*(cpu(b)-before).Seconds()/time.Since(start).Seconds(), "%core")
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stubborn does not return before it is released, however its connection ends.
type stubborn struct{ release chan struct{} }

func (s stubborn) ServeCaptured(_ capture.PodRef, conn *os.File, _ netip.AddrPort) {
	_, _ = io.WriteString(conn, "hello")
	<-s.release
}

// TestRule38_NamespaceIsFreedAtOnce: the agent holds no namespace of a pod that has ended, however slow a handler is.
func TestRule38_NamespaceIsFreedAtOnce(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	n := netnstest.New(t, host)
	netnstest.RouteAllToLoopback(t, n)
	held := func() (open int) {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			var st unix.Stat_t
			if unix.Stat("/proc/self/fd/"+e.Name(), &st) == nil && n.ID() == (netns.ID{Device: st.Dev, Inode: st.Ino}) {
				open++
			}
		}
		return open
	}
	before := held()
	at := newSandboxes()
	at.run("a", "one", n.Path)
	s := stubborn{release: make(chan struct{})}
	b := run(t, host, at, func(o *capture.Options) { o.Handler = s })
	b.want(t, spec("a", everything))
	if now := held(); now <= before {
		t.Fatalf("%d descriptors of the namespace before the pod was captured, %d while it is", before, now)
	}
	inside := &pod{n, nftKernel{}}
	calls := []*net.TCPConn{open(t, inside, "192.0.2.1:80", "hello"), open(t, inside, "192.0.2.2:80", "hello")}
	at.end("a")
	for _, c := range calls { // reset together
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection of the pod that has ended: %v, want it reset", err)
		}
	}
	netnstest.Eventually(t, time.Second, "the namespace is freed", func() bool { return held() == before })
	if n := b.Stats().Connections; n != 2 {
		t.Errorf("%d connections are being served, want both: the test shows nothing", n)
	}
	close(s.release)
}

// TestRule38_APodThatEndsWhileTheAgentStopsHoldsUpNothing: a stop waits for connections as long as they last, which those of a pod that is gone
// need not end.
func TestRule38_APodThatEndsWhileTheAgentStopsHoldsUpNothing(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	at := newSandboxes()
	b := run(t, host, at, func(o *capture.Options) { o.Grace = time.Hour })
	pods := map[string]*pod{}
	for _, uid := range []string{"a", "c"} {
		pods[uid], _ = pair(t, host, nftKernel{})
		at.run(uid, uid, pods[uid].Path)
	}
	b.want(t, spec("a", everything), spec("c", intent.Redirect{All: true, FailClosed: true}))
	for uid, pod := range pods {
		_ = open(t, pod, "10.99.0.1:80", "agent "+uid+" 10.99.0.1:80")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	netnstest.Eventually(t, time.Second, "the agent stops", func() bool { return b.Stats().RedirectStopped })
	at.end("a")
	at.end("c")
	select {
	case err := <-stopped:
		if err != nil || b.saw(capture.Ended) != 2 || b.Stats().Cut > 0 {
			t.Errorf("stopped: %v, %d pods ended, %d connections cut", err, b.saw(capture.Ended), b.Stats().Cut)
		}
	case <-time.After(30 * time.Second):
		t.Error("still waiting for connections of pods that are gone")
	}
}
