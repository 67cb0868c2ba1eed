package netns_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// here is the inode of the calling thread's namespace.
func here(t testing.TB) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestDoEntersAndReturns(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	n := netnstest.New(t, host)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 100 {
				failure := errors.New("inside")
				var inside uint64
				err := n.Do(func() error { inside = here(t); return failure })
				if !errors.Is(err, failure) || inside != n.ID().Inode {
					t.Errorf("in %d with error %v, want %s", inside, err, n.ID())
					return
				}
				if out := here(t); out != host.ID().Inode {
					t.Errorf("afterwards in %d, want %s", out, host.ID())
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDoReturnsFromAPanic(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	n := netnstest.New(t, host)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = n.Do(func() error { panic("inside") })
	}()
	if out := here(t); out != host.ID().Inode {
		t.Errorf("afterwards in %d, want %s", out, host.ID())
	}
}

func TestRule37_OwnNamespaceIsRefused(t *testing.T) {
	host := netnstest.Host(t)
	if _, err := host.Open("/proc/thread-self/ns/net"); !errors.Is(err, netns.ErrOwn) {
		t.Errorf("open own namespace: %v, want ErrOwn", err)
	}
}

func TestOpenRefusesWhatIsNoNetworkNamespace(t *testing.T) {
	host := netnstest.Host(t)
	plain := t.TempDir() + "/plain"
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		plain:                       netns.ErrNotNamespace,
		"/proc/thread-self/ns/mnt":  netns.ErrNotNamespace,
		t.TempDir() + "/not-there/": os.ErrNotExist,
	} {
		if _, err := host.Open(path); !errors.Is(err, want) {
			t.Errorf("open %s: %v, want %v", path, err, want)
		}
	}
}

// A scratch namespace is another one, with a loopback that is down and nothing else, and the thread is back where it was.
func TestScratchIsANamespaceOfItsOwn(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	before := here(t)
	ns, err := host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	if got := here(t); got != before || ns.ID() == host.ID() {
		t.Errorf("in %d, was in %d; scratch is %s, the process's own %s", got, before, ns.ID(), host.ID())
	}
	var links []net.Interface
	if err := ns.Do(func() (err error) { links, err = net.Interfaces(); return err }); err != nil {
		t.Fatal(err)
	}
	if len(links) != 1 || links[0].Flags&net.FlagLoopback == 0 || links[0].Flags&net.FlagUp != 0 {
		t.Errorf("it has %+v", links)
	}
}

func TestClosedNamespaceIsNeverEntered(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	n, other := netnstest.New(t, host), netnstest.New(t, host)
	if n.ID() == other.ID() {
		t.Fatal("two namespaces have one identity")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(other.Path) // likely to get the descriptor that was closed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := n.Do(func() error { t.Error("visited"); return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("visit after Close: %v, want os.ErrClosed", err)
	}
}

// TestNoWayBackEndsTheProcess has a child process lose its way back while a caller recovers from panics.
func TestNoWayBackEndsTheProcess(t *testing.T) {
	netnstest.Privileged(t)
	if path := os.Getenv("NETNS_TEST_LOSE"); path != "" {
		lose(path)
		return
	}
	n := netnstest.New(t, netnstest.Host(t))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoWayBackEndsTheProcess$", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), "NETNS_TEST_LOSE="+n.Path)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot return to the process's own network namespace") {
		t.Errorf("the process went on: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "went on") {
		t.Errorf("something ran after the failed return:\n%s", out)
	}
}

func lose(path string) {
	host, err := netns.OpenHost()
	if err != nil {
		panic(err)
	}
	n, err := host.Open(path)
	if err != nil {
		panic(err)
	}
	if err := host.Close(); err != nil {
		panic(err)
	}
	defer func() { _ = recover(); println("went on") }()
	_ = n.Do(func() error { return nil })
	println("went on")
}
