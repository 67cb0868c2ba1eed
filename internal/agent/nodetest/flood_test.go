package nodetest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/nodetest"
	"fairlead.dev/fairlead/internal/cgroup"
	"fairlead.dev/fairlead/internal/cgroup/cgrouptest"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	podsVariable   = "FAIRLEAD_TEST_PODS"   // set in the process that is the agent: the paths of the network namespaces of the pods
	memoryVariable = "FAIRLEAD_TEST_MEMORY" // set if that looks at its memory

	// memoryLimit is small enough to be used up soon.
	memoryLimit = 160 << 20
	// heapPercent is what cmd/agent gives the heap of it.
	heapPercent = 75
	// most is how many connections a flood has at most.
	most = 16_000
)

// called is what the pod calls.
var called = netip.MustParseAddrPort("10.99.0.1:80")

// A pod opens connections without end, and begins a request on each, which the agent has to keep. Without a look at its memory the kernel kills the agent
// for it. With one it has new connections go past it before that, and carries on with those that others have.
func TestAFloodOfConnectionsDoesNotGetTheAgentKilled(t *testing.T) {
	if paths := os.Getenv(podsVariable); paths != "" {
		beAgent(t, filepath.SplitList(paths))
		return
	}
	netnstest.Privileged(t)
	if raceEnabled {
		t.Skip("with the race detector a connection takes many times the memory; make test-unit runs this without it too")
	}
	killedBy := 0
	t.Run("without a look at its memory it is killed", func(t *testing.T) {
		f := startFlooded(t)
		killedBy = f.flood(t, most)
		if err := f.agent.Wait(); err == nil || f.group.Killed(t) != 1 {
			t.Fatalf("the agent has survived %d connections: %v", killedBy, err)
		}
		t.Logf("killed when connection %d was made", killedBy)
	})
	t.Run("with one it sheds", func(t *testing.T) {
		f := startFlooded(t, memoryVariable+"=1")
		wanted := killedBy + killedBy/10
		if made := f.flood(t, wanted); f.group.Killed(t) != 0 {
			t.Fatalf("the agent was killed when connection %d was made", made)
		}
		f.stillServes(t)
		s := f.stats(t)
		if t.Logf("%d of %d connections went direct: %+v", f.direct.Load(), wanted, s); !s.Shedding || s.SheddingPods == 0 || f.direct.Load() == 0 {
			t.Error("it sheds none")
		}
		from := time.Now()
		f.endFlood()
		netnstest.Eventually(t, 20*time.Second, "the agent takes connections again", func() bool { s = f.stats(t); return !s.Shedding && s.Captured == 2 })
		t.Logf("resumed after %v: %+v", time.Since(from), s)
		f.stillServes(t)
		check(t, f.in.Close())
		if err := f.agent.Wait(); err != nil || f.group.Killed(t) != 0 {
			t.Errorf("the agent: %v", err)
		}
	})
}

// flooded is an agent in a group of its own, a pod that floods it, and what a neighbour of that has going on.
type flooded struct {
	group  *cgrouptest.Group
	pod    *netnstest.Net
	direct atomic.Int64 // connections of the pod that have come past the agent
	agent  *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	kept   net.Conn // the neighbour's
	opened []int    // the flood's connections
}

func startFlooded(t *testing.T, env ...string) *flooded {
	t.Helper()
	host := netnstest.Host(t)
	f := &flooded{group: cgrouptest.New(t, memoryLimit)}
	pod, world := netnstest.Pair(t, host)
	neighbour, other := netnstest.Pair(t, host)
	f.pod = pod
	for _, w := range []*netnstest.Net{world, other} {
		w.Handle(t, netip.AddrPortFrom(netip.IPv4Unspecified(), called.Port()), f.serve)
	}
	f.agent = f.group.Command(os.Args[0], "-test.run=^TestAFloodOfConnectionsDoesNotGetTheAgentKilled$")
	f.agent.Env = append(append(os.Environ(), podsVariable+"="+pod.Path+string(filepath.ListSeparator)+neighbour.Path), env...)
	f.agent.Stderr = os.Stderr
	in, err := f.agent.StdinPipe()
	check(t, err)
	out, err := f.agent.StdoutPipe()
	check(t, err)
	f.in, f.out = in, bufio.NewReader(out)
	check(t, f.agent.Start())
	t.Cleanup(func() { _ = f.agent.Process.Kill(); _ = f.agent.Wait() })
	if line, err := f.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != "captured" {
		t.Fatalf("the agent says %q, %v", line, err)
	}
	f.kept, err = neighbour.Dial(t.Context(), called, 0)
	check(t, err)
	t.Cleanup(func() { _ = f.kept.Close() })
	f.stillServes(t)
	return f
}

const answer = "HTTP/1.1 204 No Content\r\n\r\n"

// serve answers requests. One that is not whole has come past the agent, and its connection is closed.
func (f *flooded) serve(c *net.TCPConn) {
	b := make([]byte, 8<<10)
	for {
		n, err := c.Read(b)
		switch {
		case err != nil:
			return
		case !strings.HasSuffix(string(b[:n]), "\r\n\r\n"):
			f.direct.Add(1)
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// stillServes has the neighbour make a call on the connection that was there before the flood.
func (f *flooded) stillServes(t *testing.T) {
	t.Helper()
	check(t, f.kept.SetDeadline(time.Now().Add(20*time.Second)))
	_, err := io.WriteString(f.kept, "GET / HTTP/1.1\r\nHost: up.shop\r\n\r\n")
	check(t, err)
	b := make([]byte, len(answer))
	if n, err := io.ReadFull(f.kept, b); err != nil || string(b) != answer {
		t.Fatalf("the answer is %q, %v", b[:n], err)
	}
}

// begun is a request that has not come to its end, which the smallest buffer for heads holds.
var begun = []byte("GET / HTTP/1.1\r\nHost: up.shop\r\nPadding: " + strings.Repeat("x", 3500))

// flood opens so many connections, each with the beginning of a request, and returns how many it was when the agent was gone. One that is reset is followed
// by the next.
func (f *flooded) flood(t *testing.T, connections int) (n int) {
	t.Helper()
	t.Cleanup(f.endFlood)
	check(t, f.pod.Do(func() error {
		for ; n < connections; n++ {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("socket %d: %w", n, err)
			}
			f.opened = append(f.opened, fd)
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(called.Port()), Addr: called.Addr().As4()}); err != nil {
				return nil // nobody listens any more
			}
			_, _ = unix.SendmsgN(fd, begun, nil, nil, unix.MSG_NOSIGNAL)
		}
		return nil
	}))
	return n
}

// endFlood closes the flood's connections.
func (f *flooded) endFlood() {
	for _, fd := range f.opened {
		_ = unix.Close(fd)
	}
	f.opened = nil
}

// stats asks the agent what it has counted.
func (f *flooded) stats(t *testing.T) (s capture.Stats) {
	t.Helper()
	_, err := io.WriteString(f.in, "stats\n")
	check(t, err)
	line, err := f.out.ReadString('\n')
	check(t, err)
	check(t, json.Unmarshal([]byte(line), &s))
	return s
}

// beAgent is an agent, which says what it has counted for each line of its input, and stops at the end of that.
func beAgent(t *testing.T, paths []string) {
	o := nodetest.Options{Host: netnstest.Host(t), Node: "node", Grace: time.Millisecond, MaxConnections: 1 << 20}
	workloads := map[string]*policy.Workload{}
	for i, path := range paths {
		ref := pods.Ref{UID: fmt.Sprint(i), Namespace: "shop", Name: fmt.Sprint("client-", i)}
		workloads[ref.UID] = &policy.Workload{UID: ref.UID, Namespace: ref.Namespace, Name: ref.Name, Profile: "p"}
		o.Others = append(o.Others, pods.Sandbox{Pod: ref, ID: ref.UID, NetNS: path})
	}
	o.Pod, o.NetNS, o.Others = o.Others[0].Pod, o.Others[0].NetNS, o.Others[1:]
	log := slog.New(slog.DiscardHandler)
	memory := cgroup.OpenOwn(log)
	memory.LimitHeap(heapPercent, log)
	if os.Getenv(memoryVariable) != "" {
		o.Memory = memory
	}
	a := nodetest.Start(t, o)
	a.Install(t, &policy.Snapshot{
		Workloads: workloads,
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ID{Namespace: "shop", Name: "p"}, Base: policy.Defaults(),
			To: policy.Target{Kind: policy.TargetService, Service: "shop/up", Protocol: policy.ProtocolAuto, Ports: []uint16{80}},
		}}}},
		Destinations: map[string]*policy.Destination{"shop/up": {
			Name: "shop/up", ClusterIPs: []netip.Addr{called.Addr()}, Hostnames: []string{"up.shop"},
			Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(called)}},
		}},
	})
	fmt.Println("captured")
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		text, err := json.Marshal(a.Stats())
		check(t, err)
		fmt.Printf("%s\n", text)
	}
	a.Stop()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
