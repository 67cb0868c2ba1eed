package taps

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

var payments = policy.ID{Namespace: "shop", Name: "payments"}

// one knows one pod.
func one(uid string) (name, workload string) {
	if uid == "uid-1" {
		return "shop/checkout-1", "Deployment/checkout"
	}
	return "", ""
}

// failedOnce is a call that was retried.
func failedOnce() *routes.Exchange {
	return &routes.Exchange{
		Pod: "uid-1", Original: netip.MustParseAddrPort("10.96.0.7:80"), Rule: "charge",
		Outcome: call.Outcome{Kind: call.OK, Cause: call.OK, Decision: call.Recovered, Status: 200, Attempts: 2, Took: 30 * time.Millisecond},
		Took:    40 * time.Millisecond, Method: []byte("POST"), Host: []byte("Payments.shop:80"), Path: []byte("http://4111@payments.shop/charge#card=4111"),
		Attempts: []routes.Attempt{
			{Kind: call.Reset, Peer: netip.MustParseAddrPort("10.0.0.1:8080"), Detail: routes.DetailReset, Took: 10 * time.Millisecond},
			{Kind: call.OK, Status: 200, Start: call.Retry, Reused: true, Peer: netip.MustParseAddrPort("10.0.0.2:8080"), Took: 15 * time.Millisecond},
		},
	}
}

func open(t *testing.T, of *Taps, f Filter, rate int) *Tap {
	t.Helper()
	tap, err := of.Open(f, rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}

func TestATapShowsTheCallAndEachAttempt(t *testing.T) {
	of := New(one)
	tap := open(t, of, Filter{}, 0)
	of.Call(failedOnce(), payments, "service shop/payments")
	want := &liveapi.Call{
		Pod: "shop/checkout-1", Workload: "Deployment/checkout", Policy: "shop/payments", Target: "service shop/payments", Rule: "charge",
		Method: "POST", Host: "Payments.shop:80", Path: "/charge", To: netip.MustParseAddrPort("10.96.0.7:80"),
		Status: 200, Kind: "response", Decision: "recovered", HeadSeconds: 0.03, TookSeconds: 0.04, Attempts: 2,
		Tried: []liveapi.Attempt{
			{Endpoint: netip.MustParseAddrPort("10.0.0.1:8080"), Start: "first", Result: "reset", Detail: "connection reset", TookSeconds: 0.01},
			{Endpoint: netip.MustParseAddrPort("10.0.0.2:8080"), Start: "retry", Result: "200", Reused: true, TookSeconds: 0.015},
		},
	}
	got := <-tap.Calls()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if line, err := json.Marshal(got); err != nil || strings.Contains(string(line), "4111") {
		t.Errorf("the line shows the query: %s (%v)", line, err)
	}
}

func TestAFilterChooses(t *testing.T) {
	tests := map[string]struct {
		filter Filter
		wants  bool
	}{
		"all":                      {Filter{}, true},
		"the policy":               {Filter{Policy: "shop/payments"}, true},
		"a cluster policy":         {Filter{Policy: "payments"}, false},
		"the pod":                  {Filter{Namespace: "shop", Pod: "checkout-1"}, true},
		"another pod":              {Filter{Pod: "checkout-2"}, false},
		"another namespace":        {Filter{Namespace: "warehouse"}, false},
		"the workload":             {Filter{Workload: "checkout"}, true},
		"the workload by its kind": {Filter{Workload: "Deployment/checkout"}, true},
		"a workload of that name":  {Filter{Workload: "Job/checkout"}, false},
		"the host":                 {Filter{Host: "payments.shop"}, true},
		"the host in capitals":     {Filter{Host: "PAYMENTS.SHOP."}, true},
		"hosts below":              {Filter{Host: "*.shop"}, true},
		"hosts below the host":     {Filter{Host: "*.payments.shop"}, false},
		"another host":             {Filter{Host: "shop"}, false},
		"the address":              {Filter{Host: "10.96.0.7"}, true},
		"the status":               {Filter{Status: "200"}, true},
		"the class":                {Filter{Status: "2xx"}, true},
		"another class":            {Filter{Status: "5xx"}, false},
		"succeeded":                {Filter{Outcome: "succeeded"}, true},
		"failed":                   {Filter{Outcome: "failed"}, false},
		"retried":                  {Filter{Outcome: "retried"}, true},
		"the decision":             {Filter{Outcome: "recovered"}, true},
		"another decision":         {Filter{Outcome: "budget"}, false},
		"all of it, and one not":   {Filter{Policy: "shop/payments", Pod: "checkout-1", Status: "200", Outcome: "reset"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			of := New(one)
			tap := open(t, of, tc.filter, 0)
			of.Call(failedOnce(), payments, "service shop/payments")
			if got := len(tap.Calls()) == 1; got != tc.wants || tap.Dropped() != 0 {
				t.Errorf("the tap has %d calls", len(tap.Calls()))
			}
		})
	}
}

func TestAFilterOfAHostKnowsAddressesAndNames(t *testing.T) {
	for host, want := range map[string]string{
		"": "10.96.0.7", "a.example": "a.example", "A.example.": "a.example", "a.example:8080": "a.example", "[2001:db8::1]:80": "2001:db8::1",
		"2001:DB8::1": "2001:db8::1", "192.0.2.1:80": "192.0.2.1",
	} {
		e := failedOnce()
		e.Host = []byte(host)
		if got := hostOf(e.Host, e.Original.Addr()); got != want {
			t.Errorf("%q is the host %q, want %q", host, got, want)
		}
	}
}

func TestWhatNoFilterCanMeanIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		filter Filter
		says   string
	}{
		"a status":            {Filter{Status: "9xx"}, `status is "9xx"; write a status, such as 503, or a class, such as 5xx`},
		"a status of letters": {Filter{Status: "ok"}, `status is "ok"`},
		"an outcome":          {Filter{Outcome: "nice"}, "write one of: succeeded, failed, retried, client_gone"},
		"a star in a host":    {Filter{Host: "a.*.example"}, "or *.example.com for those below"},
		"a star alone":        {Filter{Host: "*"}, "write a host"},
		"a control character": {Filter{Status: "\x1b[31m"}, `status is "\x1b[31m"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(nil).Open(tc.filter, 0); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("refused with %v", err)
			}
		})
	}
}

// What is more than the rate, or than the reader takes, is dropped and counted, and no call waits.
func TestATapIsBounded(t *testing.T) {
	of := New(one)
	slow, few := open(t, of, Filter{}, MaxRate), open(t, of, Filter{}, 1)
	const calls = maxWaiting + 50
	e := failedOnce()
	for range calls {
		of.Call(e, payments, "any")
	}
	if shown, dropped := len(slow.Calls()), slow.Dropped(); shown != maxWaiting || dropped != calls-maxWaiting {
		t.Errorf("%d calls wait for the reader that does not read, %d dropped", shown, dropped)
	}
	// A second may end meanwhile, and then another one.
	if shown, dropped := len(few.Calls()), few.Dropped(); shown < 1 || shown > 3 || shown+int(dropped) != calls {
		t.Errorf("%d calls are shown at one a second, %d dropped", shown, dropped)
	}
	if again := slow.Dropped(); again != 0 {
		t.Errorf("dropped calls are counted again: %d", again)
	}
}

func TestThereAreFewTaps(t *testing.T) {
	of := New(one)
	if of.Any() {
		t.Error("there is a tap at the beginning")
	}
	var all []*Tap
	for range MaxTaps {
		all = append(all, open(t, of, Filter{}, 0))
	}
	if _, err := of.Open(Filter{}, 0); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	all[0].Close()
	all[0].Close()
	all = append(all, open(t, of, Filter{}, 0))
	for _, tap := range all {
		tap.Close()
	}
	if of.Any() {
		t.Error("there is a tap when all are closed")
	}
}

// Calls end while taps come and go.
func TestTapsComeAndGoWhileCallsEnd(t *testing.T) {
	of := New(one)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			e := failedOnce()
			for {
				select {
				case <-stop:
					return
				default:
					of.Call(e, payments, "any")
				}
			}
		})
	}
	for range 100 {
		tap := open(t, of, Filter{Outcome: "retried"}, MaxRate)
		if c := <-tap.Calls(); c.Decision != "recovered" {
			t.Errorf("got %+v", c)
		}
		tap.Close()
	}
	close(stop)
	wg.Wait()
}

func TestACallThatNobodyWantsToSeeCostsNothing(t *testing.T) {
	var none *Taps
	e := failedOnce()
	some := New(one)
	if n := testing.AllocsPerRun(1000, func() {
		if none.Any() || some.Any() {
			t.Error("there is a tap")
		}
		some.Call(e, payments, "any")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNobodyTaps(b *testing.B) {
	of := New(one)
	for b.Loop() {
		if of.Any() {
			b.Fatal("there is a tap")
		}
	}
}
