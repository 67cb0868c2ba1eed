package steps

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// head is the head of a request.
type head struct {
	method, host, target string
	fields               map[string]string
}

func (h head) Method() []byte { return []byte(h.method) }
func (h head) Host() []byte   { return []byte(h.host) }
func (h head) Target() []byte { return []byte(h.target) }
func (h head) Header(lower string) ([]byte, bool) {
	v, ok := h.fields[lower]
	return []byte(v), ok
}
func (h head) AnyHeader(string, interface{ Fits([]byte) bool }) bool { return false }

var _ route.View = head{}

// noDialer dials nothing.
type noDialer struct{ upstream.Dialer }

// watchable is a call of pod-1 that the policy shop/payments governs.
func watchable(t *testing.T, v head) drive.Watchable {
	t.Helper()
	table, err := routes.New(routes.Options{Observer: routes.Discard{}, Dialer: func(string) upstream.Dialer { return noDialer{} }})
	if err != nil {
		t.Fatal(err)
	}
	refused := table.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{"pod-1": {UID: "pod-1", Namespace: "shop", Name: "checkout-1", Profile: "p"}},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ID{Namespace: "shop", Name: "payments"}, Merged: []policy.ID{{Name: "guard"}, {Namespace: "shop", Name: "payments"}},
			To: policy.Target{Kind: policy.TargetAny, Protocol: policy.ProtocolHTTP}, Base: policy.Defaults(),
		}}}},
	})
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	client := &drive.Client{Origin: route.Origin{Table: table, Pod: "pod-1", Original: netip.MustParseAddrPort("10.96.0.7:80")}}
	var s route.Selector
	s.Init(&client.Origin)
	r, ok := s.Select(v)
	if !ok {
		t.Fatal("no policy governs the call")
	}
	return drive.Watchable{Client: client, Route: r, Plan: route.PlanFor(r, v), View: v}
}

func newTraces() *Traces {
	return New(&drive.Watches{}, slog.New(slog.DiscardHandler), func(string) (string, string) { return "shop/checkout-1", "Deployment/checkout" })
}

// wants fails the test unless a trace with a filter wants a call, or does not.
func wants(t *testing.T, f Filter, w drive.Watchable, want bool) {
	t.Helper()
	of := newTraces()
	trace, err := of.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	defer trace.Close()
	if got := of.begin(w) != nil; got != want {
		t.Errorf("wanted: %v", got)
	}
}

func TestATraceWantsTheCallsThatItsFilterSays(t *testing.T) {
	w := watchable(t, head{"POST", "Payments.shop:80", "/v1/charge#card=4711", map[string]string{"x-debug": "yes", "authorization": "Bearer t"}})
	for name, tc := range map[string]struct {
		filter Filter
		wants  bool
	}{
		"all":                     {Filter{}, true},
		"the namespace":           {Filter{Namespace: "shop"}, true},
		"another namespace":       {Filter{Namespace: "web"}, false},
		"the pod":                 {Filter{Pod: "checkout-1"}, true},
		"another pod":             {Filter{Pod: "checkout-2"}, false},
		"the workload":            {Filter{Workload: "Deployment/checkout"}, true},
		"its name":                {Filter{Workload: "checkout"}, true},
		"another workload":        {Filter{Workload: "cart"}, false},
		"the policy":              {Filter{Policy: "shop/payments"}, true},
		"a policy that is merged": {Filter{Policy: "guard"}, false},
		"the host":                {Filter{Host: "payments.shop"}, true},
		"those below it":          {Filter{Host: "*.shop"}, true},
		"the address":             {Filter{Host: "10.96.0.7"}, true},
		"another host":            {Filter{Host: "shop"}, false},
		"the method":              {Filter{Method: "post"}, true},
		"another method":          {Filter{Method: "GET"}, false},
		"the path":                {Filter{Path: "/v1/charge"}, true},
		"those below a path":      {Filter{Path: "/v1/*"}, true},
		"another path":            {Filter{Path: "/v1/char"}, false},
		"a field":                 {Filter{Header: "X-Debug"}, true},
		"a field's value":         {Filter{Header: "x-debug=yes"}, true},
		"another value":           {Filter{Header: "x-debug=y"}, false},
		"a field that is not":     {Filter{Header: "x-other"}, false},
		"a secret field's name":   {Filter{Header: "Authorization"}, true},
		"a key's name":            {Filter{Header: "X-Api-Key"}, false},
		"a mark":                  {Filter{Mark: "m"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, tc.filter, w, tc.wants)
		})
	}
}

// A connection that is passed through is known by the port that it comes from; a request is by its mark alone.
func TestACallThatIsMadeIsKnown(t *testing.T) {
	near, far := transporttest.Pair(t)
	from := netip.MustParseAddrPort(far.LocalAddr().String()).Port()
	for name, tc := range map[string]struct {
		head   head
		filter Filter
		wants  bool
	}{
		"its mark":                           {head{"GET", "a", "/", map[string]string{liveapi.TraceField: "m"}}, Filter{Mark: "m"}, true},
		"its mark, within intercepted TLS":   {head{"GET", "a", "/", map[string]string{liveapi.TraceField: "m"}}, Filter{Mark: "m", Port: from + 1}, true},
		"another mark from its port":         {head{"GET", "a", "/", map[string]string{liveapi.TraceField: "n"}}, Filter{Mark: "m", Port: from}, false},
		"a request from its port":            {head{"GET", "a", "/", nil}, Filter{Mark: "m", Port: from}, false},
		"a connection from its port":         {head{"", "a", "", nil}, Filter{Mark: "m", Port: from}, true},
		"a connection from another port":     {head{"", "a", "", nil}, Filter{Mark: "m", Port: from + 1}, false},
		"a connection, and no port is known": {head{"", "a", "", nil}, Filter{Mark: "m"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := watchable(t, tc.head)
			w.Client.Conn = near
			wants(t, tc.filter, w, tc.wants)
		})
	}
}

func TestWhatNoTraceCanMeanIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		filter Filter
		says   string
	}{
		"a host":           {Filter{Host: "a.*"}, "write a host, or *.example.com"},
		"a path":           {Filter{Path: "v1"}, "write one that begins with /"},
		"a query":          {Filter{Path: "/?a=b"}, "write the path alone"},
		"a fragment":       {Filter{Path: "/#a"}, "write the path alone"},
		"a port alone":     {Filter{Port: 80}, "port is given without a mark"},
		"a long mark":      {Filter{Mark: strings.Repeat("m", 65)}, "64 are possible"},
		"a secret's value": {Filter{Header: "Authorization=Bearer t"}, "write the name alone"},
		"a cookie's value": {Filter{Header: "cookie=s=1"}, "write the name alone"},
	} {
		if _, err := newTraces().Open(tc.filter); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Values that may be secrets by their names are compared with nothing; for the names alone can be asked.
func TestValuesThatMayBeSecretsCannotBeAskedFor(t *testing.T) {
	for _, name := range []string{
		"authorization", "Proxy-Authorization", "cookie", "set-cookie", "x-api-key", "X-Auth-Token", "x-amz-security-token", "private-token", "x-client-secret",
		"x-password", "x-session-id", "x-csrf", "x-credentials", "x-hub-signature-256",
	} {
		if _, err := newTraces().Open(Filter{Header: name + "=a"}); err == nil || !strings.Contains(err.Error(), "write the name alone") || !strings.Contains(err.Error(), strings.ToLower(name)) {
			t.Errorf("%s: %v", name, err)
		}
		trace, err := newTraces().Open(Filter{Header: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		trace.Close()
	}
}

// A trace that asks for a value is logged with what it asks for, without the value.
func TestATraceThatAsksForAValueIsLogged(t *testing.T) {
	var log strings.Builder
	of := New(&drive.Watches{}, slog.New(slog.NewTextHandler(&log, nil)), nil)
	for _, header := range []string{"", "x-user", "x-user=4711"} {
		trace, err := of.Open(Filter{Namespace: "shop", Header: header})
		if err != nil {
			t.Fatal(err)
		}
		trace.Close()
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "header=x-user namespace=shop") || strings.Contains(got, "4711") {
		t.Errorf("logged %q", got)
	}
}

// A call that goes on when its trace is closed keeps nothing of it.
func TestAClosedTraceIsNotKept(t *testing.T) {
	of := newTraces()
	trace, err := of.Open(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	watched, ok := of.begin(watchable(t, head{method: "GET", host: "a", target: "/"})).(*watcher)
	if !ok {
		t.Fatal("the call is not watched")
	}
	trace.Close()
	watched.Step(&call.Step{At: time.Now(), What: call.Sent})
	watched.Done(&routes.Exchange{})
	if watched.trace.Load() != nil || len(trace.Lines()) != 1 {
		t.Errorf("the call keeps its trace, or shows it %d lines", len(trace.Lines()))
	}
}

// Calls that begin while one looks up its pod do not wait for that, and no trace gets two of them.
func TestCallsDoNotWaitForALookUp(t *testing.T) {
	looks, found := make(chan struct{}), make(chan struct{})
	first := true
	of := New(&drive.Watches{}, slog.New(slog.DiscardHandler), func(string) (string, string) {
		if first {
			first = false
			close(looks)
			<-found
		}
		return "shop/checkout-1", ""
	})
	trace, err := of.Open(Filter{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	defer trace.Close()
	get, post := watchable(t, head{method: "GET", host: "a", target: "/"}), watchable(t, head{method: "POST", host: "a", target: "/"})
	slow := make(chan drive.Watcher)
	go func() { slow <- of.begin(get) }()
	<-looks
	if of.begin(post) != nil {
		t.Error("another call is watched")
	}
	if of.begin(get) == nil {
		t.Error("the call that was faster is not watched")
	}
	close(found)
	if <-slow != nil {
		t.Error("two calls are watched by one trace")
	}
}

// One call is traced for each, and the second one goes to the next; when none is open any more calls look at nothing.
func TestEachTraceHasOneCall(t *testing.T) {
	of, w := newTraces(), watchable(t, head{method: "GET", host: "a", target: "/"})
	var all []*Trace
	for range MaxTraces {
		trace, err := of.Open(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, trace)
	}
	if _, err := of.Open(Filter{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one trace too many: %v", err)
	}
	for i := range MaxTraces {
		if of.begin(w) == nil {
			t.Errorf("call %d is not watched", i)
		}
	}
	if of.begin(w) != nil {
		t.Error("a call more than there are traces is watched")
	}
	for _, trace := range all {
		trace.Close()
		if (<-trace.Lines()).Begin == nil {
			t.Error("a trace has no call")
		}
	}
	if trace, err := of.Open(Filter{}); err != nil {
		t.Error(err)
	} else {
		trace.Close()
	}
}

// However many steps a call has, it never waits, and what is left out is counted.
func TestStepsAreBounded(t *testing.T) {
	of := newTraces()
	trace, err := of.Open(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer trace.Close()
	w := of.begin(watchable(t, head{method: "GET", host: "a", target: "/"}))
	now := time.Now()
	for range maxSteps + 88 {
		w.Step(&call.Step{At: now, What: call.Sent})
	}
	w.Done(&routes.Exchange{})
	w.Step(&call.Step{At: now, What: call.Sent}) // which is too late
	n, last := 0, liveapi.TraceLine{}
	for l := range trace.Lines() {
		if l.Step != nil {
			n++
		}
		last = l
	}
	if n != maxSteps || last.End == nil || last.LeftOut != 88 {
		t.Errorf("%d steps were shown, %d left out", n, last.LeftOut)
	}
}

// The first line says that the trace is open, the last is the call's end; neither query nor values are in it.
func TestATraceIsServedAsLines(t *testing.T) {
	of := newTraces()
	s := httptest.NewServer(of.Handler("node-1"))
	defer s.Close()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL+"?for=10m&header=x-debug%3Dyes", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	lines := json.NewDecoder(res.Body)
	var first liveapi.TraceLine
	if err := lines.Decode(&first); err != nil || first.Node != "node-1" || first.Begin != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	w := of.begin(watchable(t, head{"GET", "4711@a", "/p#card=4711", map[string]string{"x-debug": "yes"}}))
	w.Step(&call.Step{At: time.Now(), What: call.Begins})
	w.Done(&routes.Exchange{Path: []byte("/p#card=4711"), Outcome: call.Outcome{Status: 200}})
	rest, err := io.ReadAll(io.MultiReader(lines.Buffered(), res.Body))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(rest); strings.Contains(text, "4711") || strings.Contains(text, "yes") || strings.Count(text, "\n") < 3 || !strings.Contains(text, `"status":200`) {
		t.Errorf("served %s", text)
	}
	refused := httptest.NewRecorder()
	of.Handler("node-1")(refused, httptest.NewRequest(http.MethodGet, "/?for=2h", nil))
	if refused.Code != http.StatusBadRequest || !strings.Contains(refused.Body.String(), "from 1s to 10m") {
		t.Errorf("refused with %d %s", refused.Code, refused.Body)
	}
}

// Every kind of step has a name that the live API documents.
func TestEveryStepHasAName(t *testing.T) {
	for w := range call.WhatCount {
		if name(w).step == "" {
			t.Errorf("step %d has no name", w)
		}
	}
}
