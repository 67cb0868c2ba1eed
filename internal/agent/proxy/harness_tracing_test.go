package proxy

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans/spanstest"
	"fairlead.dev/fairlead/internal/policy"
)

// collected is what a collector has received of the calls of a proxy.
type collected struct {
	t    testing.TB
	w    *testProxy
	stop func()
	from spanstest.Collector
}

// collect starts a collector for the spans of w's calls.
func collect(t testing.TB, w *testProxy) *collected {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	c := &collected{t: t, w: w}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, &c.from)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) })
	client := otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(l.Addr().String()), otlptracegrpc.WithInsecure())
	e, err := spans.New(spans.Options{Client: client, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	exported := make(chan error, 1)
	running.Go(func() { exported <- e.Run(ctx) })
	w.seen.spans.Store(e)
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-exported; err != nil {
			t.Error(err)
		}
		server.Stop()
		running.Wait()
	})
	t.Cleanup(c.stop)
	return c
}

// after returns the spans of so many calls: all that there are.
func (c *collected) after(calls int) []*tracepb.Span {
	c.t.Helper()
	c.w.seen.await(c.t, calls)
	c.stop() // which sends what has not been sent
	return c.from.Spans()
}

// said is the trace context that a server has seen.
type said struct{ parent, state string }

// contexts are those of each request.
type contexts struct {
	mu   sync.Mutex
	seen []said
}

// add notes that of a request, and returns how many have come. Of several fields with one name all are noted.
func (c *contexts) add(h http.Header) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := func(name string) (s string) {
		for _, v := range h.Values(name) {
			s += v
		}
		return s
	}
	c.seen = append(c.seen, said{all("traceparent"), all("tracestate")})
	return len(c.seen)
}

func (c *contexts) all() []said {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]said(nil), c.seen...)
}

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
	sampled     = "00-" + parentTrace + "-" + parentSpan + "-01"
	unsampled   = "00-" + parentTrace + "-" + parentSpan + "-00"
	malformed   = "00-" + parentTrace + "-0000000000000000-01"
)

// traceCases are what calls arrive with, and what becomes of that.
var traceCases = map[string]struct {
	percent int // -1: no tracing is asked for
	given   said
	trace   string // that spans belong to; "new" for one that begins here; empty: there are none, and what is given passes as it is
}{
	"of a caller that records":         {0, said{sampled, "a=b"}, parentTrace},
	"of a caller that does not":        {100, said{unsampled, "a=b"}, ""},
	"of none that says":                {100, said{}, "new"},
	"of none that says, and not drawn": {0, said{}, ""},
	"of one that cannot be understood": {100, said{malformed, "a=b"}, "new"},
	"of such a one, and not drawn":     {0, said{malformed, "a=b"}, ""},
	"not asked for":                    {-1, said{sampled, "a=b"}, ""},
}

// tracing is the change of a policy that has so many calls of a hundred traced.
func tracing(percent int) func(*policy.Settings) {
	return func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		if percent >= 0 {
			s.Tracing = &policy.Tracing{SamplePercent: percent}
		}
	}
}

// checkContexts checks what the servers of three attempts have seen against the spans of their call.
func checkContexts(t *testing.T, given said, trace string, seen []said, list []*tracepb.Span) {
	t.Helper()
	if len(seen) != 3 {
		t.Fatalf("%d attempts", len(seen))
	}
	if trace == "" {
		for i, s := range seen {
			if s != given {
				t.Errorf("attempt %d carries %q, want what was given: %q", i+1, s, given)
			}
		}
		if len(list) > 0 {
			t.Errorf("%d spans", len(list))
		}
		return
	}
	if len(list) != 4 {
		t.Fatalf("%d spans, want one of the call and three of attempts", len(list))
	}
	checkCallSpan(t, trace, list[0])
	state := given.state
	if trace == "new" {
		state = ""
	}
	ids := map[string]bool{}
	for i, s := range list[1:] {
		ids[hex.EncodeToString(s.GetSpanId())] = true
		want := said{"00-" + hex.EncodeToString(list[0].GetTraceId()) + "-" + hex.EncodeToString(s.GetSpanId()) + "-01", state}
		if seen[i] != want {
			t.Errorf("attempt %d carries %q, want %q", i+1, seen[i], want)
		}
		if string(s.GetParentSpanId()) != string(list[0].GetSpanId()) || string(s.GetTraceId()) != string(list[0].GetTraceId()) {
			t.Errorf("the span of attempt %d is below %x of %x", i+1, s.GetParentSpanId(), s.GetTraceId())
		}
		if s.GetKind() != tracepb.Span_SPAN_KIND_CLIENT || s.GetStartTimeUnixNano() == 0 || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("the span of attempt %d is %v", i+1, s)
		}
	}
	if len(ids) != 3 {
		t.Errorf("the attempts have %d spans", len(ids))
	}
}

// checkCallSpan checks where the span of a call belongs.
func checkCallSpan(t *testing.T, trace string, s *tracepb.Span) {
	t.Helper()
	got, parent := hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetParentSpanId())
	switch {
	case s.GetKind() != tracepb.Span_SPAN_KIND_INTERNAL:
		t.Errorf("the call's span is %v", s.GetKind())
	case trace == "new" && (parent != "" || len(got) != 32 || got == parentTrace):
		t.Errorf("the call is in %q below %q, want a trace of its own", got, parent)
	case trace != "new" && (got != trace || parent != parentSpan):
		t.Errorf("the call is in %q below %q", got, parent)
	}
}
