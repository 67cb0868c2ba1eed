package capture_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/policy"
)

// script has nft carry out a script inside n.
func script(t testing.TB, n *netnstest.Net, lines string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// TestRulesChangedByThePodAreWrittenAgain has the pod take the agent's rules away in ways that leave the lease as it is.
func TestRulesChangedByThePodAreWrittenAgain(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	for _, change := range []string{"flush chain inet fairlead capture", "flush set inet fairlead ports", "flush table inet fairlead", "flush ruleset"} {
		t.Run(change, func(t *testing.T) {
			pod, world := pair(t, host, nftKernel{})
			serve(t, world)
			at := newSandboxes()
			at.run("a", "one", pod.Path)
			b := run(t, host, at, func(o *capture.Options) { o.Lease = 900 * time.Millisecond })
			b.want(t, spec("a", intent.Redirect{Ports: []uint16{80}}))
			expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
			script(t, pod.Net, change)
			expect(t, pod, "10.99.0.1:80", "direct")
			netnstest.Eventually(t, 10*time.Second, "calls are captured again", func() bool {
				got, err := pod.call(t, "10.99.0.1:80")
				return err == nil && got == "agent a 10.99.0.1:80"
			})
			netnstest.Eventually(t, 10*time.Second, "there is a notice", func() bool {
				return b.saw(capture.Troubled) > 0 && slices.ContainsFunc(b.Notices(), func(p policy.CaptureProblem) bool {
					return p.Pod == "pod-a" && p.Reason == capture.ReasonRulesChanged
				})
			})
			if p := b.Problems(); len(p) > 0 {
				t.Errorf("problems after the end: %+v", p)
			}
		})
	}
}

// streamer answers a captured connection with its greeting and then, whenever there is a message, sends it.
type streamer struct{ messages <-chan string }

func (s streamer) ServeCaptured(_ capture.PodRef, conn *os.File, _ netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "hello")
	for message := range s.messages {
		if _, err := io.WriteString(conn, message); err != nil {
			return
		}
	}
}

// TestDownloadsOutliveAForgetfulKernel has the pod's connection tracking flushed while a server sends what nobody asks for.
func TestDownloadsOutliveAForgetfulKernel(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := pair(t, host, nftKernel{})
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	messages := make(chan string, 10)
	b := run(t, host, at, func(o *capture.Options) { o.Lease, o.Handler = 900*time.Millisecond, streamer{messages: messages} })
	defer close(messages)
	b.want(t, spec("a", everything))
	c := open(t, pod, "10.99.0.1:80", "hello")
	for _, message := range []string{"one", "two", "three"} {
		out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+pod.Path, "conntrack", "-F").CombinedOutput()
		if err != nil {
			t.Fatalf("conntrack: %v\n%s", err, out)
		}
		messages <- message
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
			t.Fatalf("heard %q, %v, want %q", got, err, message)
		}
	}
}

// TestRule36_AProxyInThePodIsNoticed has a proxy in the pod take its calls, and somebody else send the agent's own connections back to it.
func TestRule36_AProxyInThePodIsNoticed(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, world := pair(t, host, nftKernel{})
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	script(t, pod.Net, `table ip mesh { chain output { type nat hook output priority -100; tcp dport 81 redirect to :15001; }; }`)
	b := run(t, host, at, nil)
	s := spec("a", intent.Redirect{Ports: []uint16{80}})
	s.Policies = []policy.ID{{Namespace: "shop", Name: "p"}}
	b.want(t, s)
	n := b.Notices()
	if len(n) != 1 || n[0].Reason != capture.ReasonForeignRedirect || !strings.Contains(n[0].Message, "ip mesh") || len(n[0].Policies) != 1 {
		t.Errorf("notices %+v", n)
	}
	expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	conn, err := dialFor(t, b, "10.99.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if err := hear(conn, "direct"); err != nil {
		t.Error(err)
	}
	_ = conn.Close()

	// Whoever comes before all others can do it still.
	script(t, pod.Net, `table ip first { chain output { type nat hook output priority -199; meta mark 0xfa1e tcp dport 80 redirect to :14001; }; }`)
	conn, err = dialFor(t, b, "10.99.0.1:80")
	if err == nil { // it may be reset before the dial is over
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a call of the agent's that came back to it: %v, want it reset", err)
	}
	netnstest.Eventually(t, 3*time.Second, "the call that came back is counted", func() bool { return b.Stats().Loops == 1 })
}

// TestConnectionsOlderThanTheirPolicyAreCounted opens connections before the pod is captured.
func TestConnectionsOlderThanTheirPolicyAreCounted(t *testing.T) {
	onEach(t, testConnectionsOlderThanTheirPolicyAreCounted)
}

func testConnectionsOlderThanTheirPolicyAreCounted(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	inside, world := pair(t, host, k)
	for _, at := range []string{"0.0.0.0:80", "[::]:80", "0.0.0.0:81", "0.0.0.0:82"} {
		world.Serve(t, netip.MustParseAddrPort(at), "direct")
	}
	inside.Serve(t, netip.MustParseAddrPort("0.0.0.0:8080"), "pod")
	var older []*net.TCPConn
	for _, to := range []string{"10.99.0.1:80", "10.99.0.1:80", "[fd99::1]:80", "10.99.0.1:81", "10.99.0.1:82"} {
		older = append(older, open(t, inside, to, "direct"))
	}
	_ = open(t, &pod{world, k}, netip.AddrPortFrom(netnstest.Pod4, 8080).String(), "pod") // the pod is called, it does not call
	_ = open(t, inside, "127.0.0.1:8080", "pod")

	first, second := policy.ID{Namespace: "shop", Name: "first"}, policy.ID{Namespace: "shop", Name: "second"}
	s := spec("a", intent.Redirect{All: true})
	s.Policies = []policy.ID{first, second}
	s.Claims = func() intent.Claims {
		return intent.Claims{
			{Redirect: intent.Redirect{Ports: []uint16{80}}, Policies: []policy.ID{first}},
			{Redirect: intent.Redirect{Ports: []uint16{81}}, Policies: []policy.ID{first, second}},
		}
	}
	at := newSandboxes()
	at.run("a", "one", inside.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, s)
	captured := open(t, inside, "10.99.0.1:80", "agent a 10.99.0.1:80")
	if got := b.Stats().Older; got != 5 {
		t.Errorf("%d older connections, want 5", got)
	}
	if got := b.Older(); got[first] != 4 || got[second] != 1 || len(got) != 2 {
		t.Errorf("by policy %v, want 4 and 1", got)
	}
	var to []string
	for _, a := range b.Wanted()[0].OlderTo { // each once
		to = append(to, a.String())
	}
	if want := []string{"10.99.0.1:80", "10.99.0.1:81", "10.99.0.1:82", "[fd99::1]:80"}; !slices.Equal(to, want) {
		t.Errorf("they go to %v, want %v", to, want)
	}
	for _, c := range older[:4] {
		_ = c.Close()
	}
	s.Redirect.Ports = []uint16{80} // which has it counted again
	b.want(t, s)
	if got := b.Stats().Older; got != 1 {
		t.Errorf("%d older connections after four have ended, want 1", got)
	}
	if err := talk(captured, "still here"); err != nil {
		t.Error(err)
	}
}

// TestDialsOfAPodThatIsGoneSayWhoIsGone: it must not be taken for a failure of the other side.
func TestDialsOfAPodThatIsGoneSayWhoIsGone(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod := netnstest.New(t, host)
	netnstest.RouteAllToLoopback(t, pod) // where a dial to an address of nobody's waits until it is given up
	at := newSandboxes()
	b := run(t, host, at, nil)
	isGone := func(err error) bool {
		g, ok := errors.AsType[interface {
			error
			Gone() bool
		}](err)
		return ok && g.Gone()
	}
	to := netip.MustParseAddrPort("192.0.2.1:80")
	if _, err := b.Dialer("a").Dial(t.Context(), to); !isGone(err) {
		t.Errorf("dial from a pod that was never captured: %v", err)
	}
	at.run("a", "one", pod.Path)
	b.want(t, spec("a", everything))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dialled := make(chan error, 1)
	go func() {
		_, err := b.Dialer("a").Dial(ctx, to)
		dialled <- err
	}()
	at.end("a")
	netnstest.Eventually(t, 10*time.Second, "the capture has ended", func() bool { return b.saw(capture.Ended) == 1 })
	cancel()
	if err := <-dialled; !isGone(err) {
		t.Errorf("dial from a pod that has ended meanwhile: %v", err)
	}
}
