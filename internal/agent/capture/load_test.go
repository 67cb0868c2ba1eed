package capture_test

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

func TestOverloadLetsNewConnectionsGoDirect(t *testing.T) {
	onEach(t, testOverloadLetsNewConnectionsGoDirect)
}

func testOverloadLetsNewConnectionsGoDirect(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	closed, _ := pair(t, host, k)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	at.run("c", "two", closed.Path)
	b := run(t, host, at, using(k, func(o *capture.Options) { o.MaxConnections = 20 }))
	b.want(t, spec("a", everything), spec("c", intent.Redirect{All: true, FailClosed: true}))
	var calls []*net.TCPConn
	for range 21 {
		calls = append(calls, open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80"))
	}
	netnstest.Eventually(t, 2*time.Second, "new calls go direct", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
		return err == nil && got == "direct"
	})
	expect(t, closed, "10.99.0.1:80", "agent c 10.99.0.1:80") // never past the agent
	netnstest.Eventually(t, time.Second, "the overload of one pod is reported", func() bool {
		p := b.Problems()
		return len(p) == 1 && p[0].Reason == capture.ReasonOverload && p[0].Pod == "pod-a"
	})
	for i, c := range calls {
		if err := talk(c, strconv.Itoa(i)); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
		_ = c.Close()
	}
	netnstest.Eventually(t, 5*time.Second, "calls are captured again", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
		return err == nil && got == "agent a 10.99.0.1:80"
	})
	if s, r := b.saw(capture.Shedding), b.saw(capture.Resumed); s != 1 || r != 1 {
		t.Errorf("shed %d times and resumed %d times, want once each", s, r)
	}
}

// TestOutOfDescriptors has accept fail for want of a descriptor.
func TestOutOfDescriptors(t *testing.T) {
	netnstest.Privileged(t)
	t.Setenv("ALONE", "1") // panics in a test that runs beside others: the limit of descriptors is the whole process's
	host := netnstest.Host(t)
	pod, world := pair(t, host, nftKernel{})
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	var callers [100]int // more than one, because something else in the process may give a descriptor back meanwhile
	for i := range callers {
		callers[i] = socket(t, pod.Net)
	}

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	fillDescriptors(t)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(highest(t)), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	connected := 0
	for _, caller := range callers {
		if b.Stats().Shedding {
			break
		}
		if err := unix.Connect(caller, &unix.SockaddrInet4{Port: 80, Addr: netip.MustParseAddr("10.99.0.1").As4()}); err != nil {
			t.Fatal(err)
		}
		connected++
		netnstest.Eventually(t, 2*time.Second, "the call is served or new ones go direct", func() bool {
			return b.Stats().Shedding || b.Stats().Accepted == int64(connected)
		})
	}
	if !b.Stats().Shedding {
		t.Fatal("there were descriptors enough; the test shows nothing")
	}
	restore()
	netnstest.Eventually(t, 2*time.Second, "the call that waited is served", func() bool { return b.Stats().Accepted == int64(connected) })
	expect(t, pod, "10.99.0.1:80", "direct")
	netnstest.Eventually(t, 10*time.Second, "calls are captured again", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
		return err == nil && got == "agent a 10.99.0.1:80"
	})
}

func socket(t *testing.T, n *netnstest.Net) int {
	t.Helper()
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// fillDescriptors leaves no gap below the highest descriptor.
func fillDescriptors(t *testing.T) {
	t.Helper()
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if fd >= highest(t)-1 {
			return
		}
	}
}

// highest is one more than the highest descriptor in use.
func highest(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if unix.Fstat(n, &st) == nil { // the folder's own descriptor is closed by now
			most = max(most, n+1)
		}
	}
	return most
}

// memory is what the agent uses, in percent of what it may.
type memory struct{ percent atomic.Int64 }

func (m *memory) Usage() (used, limit int64, limited bool) {
	return m.percent.Load() << 20, 100 << 20, true
}

// TestShortMemoryLetsNewConnectionsGoDirect: an agent that is killed for its memory ends all connections of the node.
func TestShortMemoryLetsNewConnectionsGoDirect(t *testing.T) {
	onEach(t, testShortMemoryLetsNewConnectionsGoDirect)
}

func testShortMemoryLetsNewConnectionsGoDirect(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	m := &memory{}
	b := run(t, host, at, using(k, func(o *capture.Options) { o.Memory = m }))
	b.want(t, spec("a", everything))
	kept := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	answered := func(want string) func() bool {
		return func() bool {
			got, err := pod.call(t, "10.99.0.1:80")
			return err == nil && got == want
		}
	}
	m.percent.Store(90)
	netnstest.Eventually(t, 5*time.Second, "new calls go direct", answered("direct"))
	netnstest.Eventually(t, time.Second, "the reason is reported", func() bool {
		p := b.Problems()
		return len(p) == 1 && p[0].Reason == capture.ReasonOverload && strings.Contains(p[0].Message, "memory (100 MiB)")
	})
	if err := talk(kept, "still here"); err != nil {
		t.Error(err)
	}
	m.percent.Store(50)
	netnstest.Eventually(t, 5*time.Second, "calls are captured again", answered("agent a 10.99.0.1:80"))
	if s, r := b.saw(capture.Shedding), b.saw(capture.Resumed); s != 1 || r != 1 {
		t.Errorf("shed %d times and resumed %d times, want once each", s, r)
	}
}
