package flows

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

var (
	began = time.Now()
	cart  = policy.Caller{Namespace: "shop", Workload: "cart"}
	wide  = policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "inventory"}
)

// wanted returns a Book from which somebody wants to know.
func wanted() *Book {
	b := New()
	b.Want(true)
	return b
}

func (b *Book) line(c policy.Caller, destination string, byAddress bool) *Line {
	return b.Line(Route{Caller: c, Policy: wide, Target: "any", Destination: destination, ByAddress: byAddress})
}

// ended is a call that has ended.
func ended(host string, d call.RetryDecision, attempts int) *routes.Exchange {
	return &routes.Exchange{
		Original: netip.MustParseAddrPort("10.96.0.7:443"), Method: []byte("GET"), Host: []byte(host),
		Outcome: call.Outcome{Decision: d, Attempts: attempts, Status: 200, Took: 3 * time.Millisecond},
	}
}

func shown(list []policy.Flow) (out []string) {
	for _, f := range list {
		if f.Other() {
			out = append(out, fmt.Sprintf("other %d/%d", f.Counts.Successes, f.Counts.Calls))
			continue
		}
		out = append(out, fmt.Sprintf("%s %s %s %d/%d+%d", f.Caller.Workload, f.Destination, f.Protocol, f.Counts.Successes, f.Counts.Calls, f.Counts.Retries))
	}
	return out
}

func reported(t *testing.T, b *Book, after time.Duration, want string) {
	t.Helper()
	if got := fmt.Sprint(shown(b.Report(began.Add(after)))); got != want {
		t.Errorf("reported %s, want %s", got, want)
	}
}

func TestCallsAreCountedByWhatTheyAreFor(t *testing.T) {
	b := wanted()
	l := b.line(cart, "10.96.0.7:443", true)
	for range 3 {
		l.Count(ended("Api.Example:443", call.NotNeeded, 1))
	}
	l.Count(ended("api.example.", call.Recovered, 3))
	l.Count(ended("other.example", call.Exhausted, 2))
	l.Count(ended("", call.NotNeeded, 1))
	rpc := ended("api.example", call.NotNeeded, 1)
	rpc.GRPC = true
	l.Count(rpc)
	passed := ended("api.example", call.NotNeeded, 1)
	passed.Method = nil
	l.Count(passed)
	reported(t, b, 0, "[cart api.example:443 HTTP 4/4+2 cart 10.96.0.7:443 HTTP 1/1+0 cart api.example:443 TLS 1/1+0 cart api.example:443 gRPC 1/1+0 cart other.example:443 HTTP 0/1+1]")
	reported(t, b, Interval, "[]")
}

// The destination of a route that is no address says what its calls are for, whatever their hosts say.
func TestANamedDestinationStaysItself(t *testing.T) {
	b := wanted()
	l := b.line(cart, "warehouse/inventory:80", false)
	l.Count(ended("whatever.example", call.NotNeeded, 1))
	l.Count(ended("something.example", call.NotNeeded, 1))
	list := b.Report(began)
	if got := fmt.Sprint(shown(list)); got != "[cart warehouse/inventory:80 HTTP 2/2+0]" || list[0].Address.IsValid() {
		t.Errorf("reported %s with %s", got, list[0].Address)
	}
}

func TestPodsOfOneWorkloadAreOneCaller(t *testing.T) {
	b := wanted()
	b.line(cart, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	b.line(cart, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	b.line(policy.Caller{Namespace: "other", Workload: "cart"}, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	reported(t, b, 0, "[cart a/b:80 HTTP 2/2+0 cart a/b:80 HTTP 1/1+0]")
}

// What clients write becomes a destination only if it is a host name.
func TestHostsThatAreNoneAreNotShown(t *testing.T) {
	for host, want := range map[string]string{
		"<script>": "", "a b": "", "192.0.2.1": "", "192.0.2.1:80": "", "[::1]:80": "", ":80": "", ".": "", "a\x00b": "", strings.Repeat("a", 254): "",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "_sip.example": "_sip.example", "A": "a", "1": "1", "é.example": "",
	} {
		got, ok := appendHost(nil, []byte(host))
		if string(got) != want || ok != (want != "") {
			t.Errorf("%q is %q, %t", host, got, ok)
		}
	}
}

// A caller that calls many hosts has no room but its own; a node has room for so many flows. All calls are counted.
func TestWhatIsCountedApartIsBounded(t *testing.T) {
	b := wanted()
	greedy := b.line(cart, "10.0.0.1:80", true)
	const hosts = maxOfCaller + 100
	for i := range hosts {
		greedy.Count(ended(fmt.Sprint("h", i, ".example"), call.NotNeeded, 1))
	}
	b.line(policy.Caller{Namespace: "shop", Workload: "web"}, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	b.line(policy.Caller{Namespace: "shop", Workload: "web"}, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	list := b.Report(began)
	var sum uint64
	for i := range list {
		sum += list[i].Counts.Calls
	}
	last := list[len(list)-1]
	if len(list) != policy.MaxFlows || list[0].Caller.Workload != "web" || !last.Other() || sum != hosts+2 || last.Counts.Calls != hosts+2-uint64(2+policy.MaxFlows-2) {
		t.Errorf("%d flows with %d calls; the first is %v, the last %v", len(list), sum, shown(list[:1]), shown(list[len(list)-1:]))
	}
	for i := range 2 * maxFlows {
		b.line(policy.Caller{Workload: fmt.Sprint(i)}, "a/b:80", false).Count(ended("", call.NotNeeded, 1))
	}
	if len(b.flows) != maxFlows {
		t.Errorf("%d flows are kept", len(b.flows))
	}
}

// A flow without calls is forgotten after some reports; a route that still has it counts on.
func TestIdleFlowsAreForgotten(t *testing.T) {
	b := wanted()
	l := b.line(cart, "a/b:80", false)
	l.Count(ended("", call.NotNeeded, 1))
	for i := range forgottenAfter + 1 {
		b.Report(began.Add(time.Duration(i) * Interval))
	}
	if len(b.flows) != 0 || len(b.ofCaller) != 0 {
		t.Errorf("kept: %d flows, %d callers", len(b.flows), len(b.ofCaller))
	}
	l.Count(ended("", call.NotNeeded, 1))
	reported(t, b, time.Hour, "[cart a/b:80 HTTP 1/1+0]")
}

func TestNothingIsCountedThatNobodyWants(t *testing.T) {
	b := New()
	l := b.line(cart, "a/b:80", false)
	l.Count(ended("", call.NotNeeded, 1))
	reported(t, b, 0, "[]")
	b.Want(true)
	l.Count(ended("", call.NotNeeded, 1))
	b.Want(false)
	b.Want(true)
	l.Count(ended("", call.NotNeeded, 1))
	reported(t, b, 0, "[cart a/b:80 HTTP 1/1+0]")
	l.Count(ended("", call.NotNeeded, 1))
	reported(t, b, Interval/2, "[]") // too early
	reported(t, b, Interval, "[cart a/b:80 HTTP 1/1+0]")
}

// No call is lost or counted twice while reports are made and flows are forgotten.
func TestCountingGoesOnWhileReportsAreMade(t *testing.T) {
	b := wanted()
	const each, goroutines = 2000, 4
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			l := b.line(cart, "10.0.0.1:80", true)
			for i := range each {
				l.Count(ended(fmt.Sprint("h", (g+i)%3, ".example"), call.NotNeeded, 1))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var sum uint64
	take := func(at time.Duration) {
		list := b.Report(began.Add(at))
		for i := range list {
			sum += list[i].Counts.Calls
		}
	}
	for at := time.Duration(0); ; at += Interval {
		select {
		case <-done:
			take(at)
			if sum != each*goroutines {
				t.Errorf("%d calls are reported of %d", sum, each*goroutines)
			}
			return
		default:
			take(at)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	for name, b := range map[string]*Book{"wanted": wanted(), "not wanted": New()} {
		l := b.line(cart, "10.0.0.1:80", true)
		e := ended("a.example", call.NotNeeded, 1)
		l.Count(e)
		if n := testing.AllocsPerRun(1000, func() { l.Count(e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	for name, book := range map[string]*Book{"wanted": wanted(), "not wanted": New()} {
		b.Run(name, func(b *testing.B) {
			l := book.line(cart, "10.0.0.1:80", true)
			e := ended("a.example", call.NotNeeded, 1)
			b.ReportAllocs()
			for b.Loop() {
				l.Count(e)
			}
		})
	}
}
