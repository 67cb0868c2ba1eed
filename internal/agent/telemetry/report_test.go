package telemetry

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func TestReportCountsEveryRetryDecision(t *testing.T) {
	tests := map[string]struct {
		kind     call.Kind
		decision call.RetryDecision
		status   int
		want     policy.Counts
	}{
		"good":              {call.OK, call.NotNeeded, 404, policy.Counts{Requests: 1, Successes: 1}},
		"recovered":         {call.OK, call.Recovered, 200, policy.Counts{Requests: 1, Successes: 1, RetrySuccesses: 1}},
		"not idempotent":    {call.OK, call.ByMethod, 503, policy.Counts{Requests: 1, NotRetriedMethod: 1}},
		"not retryable":     {call.OK, call.NotRetryable, 500, policy.Counts{Requests: 1, NotRetriedNotRetryable: 1}},
		"no budget":         {call.OK, call.ByBudget, 503, policy.Counts{Requests: 1, NotRetriedBudget: 1}},
		"deadline":          {call.Deadline, call.ByDeadline, 504, policy.Counts{Requests: 1, NotRetriedDeadline: 1, Timeouts: 1}},
		"attempt timed out": {call.AttemptTimeout, call.Exhausted, 504, policy.Counts{Requests: 1, NotRetriedExhausted: 1, Timeouts: 1}},
		"connect timed out": {call.ConnectTimeout, call.Exhausted, 502, policy.Counts{Requests: 1, NotRetriedExhausted: 1, Timeouts: 1}},
		"body":              {call.OK, call.ByBody, 503, policy.Counts{Requests: 1, NotRetriedBody: 1}},
		"breaker":           {call.BreakerOpen, call.Refused, 503, policy.Counts{Requests: 1, BreakerRejected: 1}},
		"pool":              {call.Overflow, call.Refused, 503, policy.Counts{Requests: 1, PoolOverflow: 1}},
		"rate":              {call.RateLimited, call.Refused, 429, policy.Counts{Requests: 1, RateLimited: 1}},
		"client gone":       {call.ClientGone, call.Abandoned, 0, policy.Counts{Requests: 1, Abandoned: 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := testMeter()
			m.Recorder(payments, inventory).CallDone(ended(tc.kind, tc.decision, tc.status))
			var got policy.Counts
			for _, traffic := range m.reportAt(t0).Traffic {
				got = traffic.Counts
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportsAreDeltas(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	other := m.Recorder(policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "all"}, "any")
	r.CallDone(ended(call.OK, call.Recovered, 200))
	r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 503})
	r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 200, Start: call.Retry})
	other.OpaqueOpened()
	other.OpaqueClosed(0, 0)
	var latency policy.Latency
	latency[policy.LatencyBucket(3*time.Millisecond)] = 1
	want := []policy.Traffic{
		{Policy: policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "all"}, Target: "any", Counts: policy.Counts{Opaque: 1}},
		{Policy: payments, Target: inventory, Counts: policy.Counts{Requests: 1, Successes: 1, Retries: 1, RetrySuccesses: 1}, Latency: latency},
	}
	if diff := cmp.Diff(want, m.reportAt(t0).Traffic, cmpopts.IgnoreFields(policy.Traffic{}, "Covered")); diff != "" {
		t.Errorf("the first report (-want +got):\n%s", diff)
	}
	if got := m.reportAt(t0).Traffic; len(got) != 0 {
		t.Errorf("a report of nothing: %+v", got)
	}
	r.CallDone(ended(call.OK, call.NotNeeded, 200))
	if got := m.reportAt(t0).Traffic; len(got) != 1 || got[0].Counts != (policy.Counts{Requests: 1, Successes: 1}) {
		t.Errorf("the next report: %+v", got)
	}
}

// A policy whose calls begin between two reports, and an agent that has just started, would else show too low a rate.
func TestReportSaysHowMuchTimeItCovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := testMeter()
		covered := func() time.Duration { return m.Report().Traffic[0].Covered }
		time.Sleep(time.Minute)
		m.Report()
		time.Sleep(2 * time.Second)
		r := m.Recorder(payments, inventory)
		time.Sleep(time.Second)
		r.CallDone(ended(call.OK, call.NotNeeded, 200)) // it took 3 ms
		time.Sleep(2 * time.Second)
		r.CallDone(ended(call.OK, call.NotNeeded, 200))
		if got, want := covered(), 2003*time.Millisecond; got != want {
			t.Errorf("the first report covers %s, want %s", got, want)
		}
		time.Sleep(4 * time.Second)
		r.CallDone(ended(call.OK, call.NotNeeded, 200))
		time.Sleep(time.Second)
		if got, want := covered(), 5*time.Second; got != want {
			t.Errorf("the next covers %s, want %s", got, want)
		}
		fresh := testMeter()
		fresh.Recorder(payments, inventory).CallDone(ended(call.OK, call.NotNeeded, 200))
		if got := fresh.Report().Traffic[0].Covered; got != time.Millisecond {
			t.Errorf("the first report of all covers %s", got)
		}
	})
}

// An outage in which callers give up before any limit of the policy must not look like a policy that nobody calls.
func TestRule04_CallsThatAreGivenUpAreReportedAndAreNoSuccesses(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for range 3 {
		r.CallDone(ended(call.ClientGone, call.Abandoned, 0))
	}
	got := m.reportAt(t0).Traffic
	if len(got) != 1 || got[0].Counts != (policy.Counts{Requests: 3, Abandoned: 3}) || got[0].Latency != (policy.Latency{}) {
		t.Errorf("reported %+v", got)
	}
}

func TestAnAnswerThatBreaksOffIsNoSuccess(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	r.CallDone(ended(call.OK, call.NotNeeded, 200))
	for _, o := range []call.Outcome{
		{Status: 200}, {Decision: call.Recovered, Status: 200}, // these two would have been
		{Decision: call.Exhausted, Status: 503},
	} {
		o.Truncated = true
		r.CallDone(&routes.Exchange{Outcome: o})
	}
	// A client that closes a stream of events has what it came for.
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Status: 200, Truncated: true}, Detail: routes.DetailClientLeft})
	want := policy.Counts{Requests: 5, Successes: 2, Truncated: 2, RetrySuccesses: 1, NotRetriedExhausted: 1}
	if got := m.reportAt(t0).Traffic; len(got) != 1 || got[0].Counts != want {
		t.Errorf("reported %+v, want %+v", got, want)
	}
}

func TestReportTellsOfConnectionsThatArePassedThrough(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	r.OpaqueOpened()
	r.OpaqueOpened()
	r.OpaqueClosed(10, 2000)
	m.reportAt(t0)
	r.OpaqueOpened()
	got := m.reportAt(t0).Traffic
	if len(got) != 1 || got[0].OpaqueOpen != 2 || got[0].Counts != (policy.Counts{Opaque: 1}) {
		t.Errorf("reported %+v", got)
	}
	r.OpaqueClosed(1, 2)
	r.OpaqueClosed(10, 20)
	got = m.reportAt(t0).Traffic
	if len(got) != 1 || got[0].OpaqueOpen != 0 || got[0].Counts != (policy.Counts{OpaqueSent: 11, OpaqueReceived: 22}) {
		t.Errorf("reported %+v", got)
	}
	r.OpaqueClosed(0, 0) // its opening is in a shard that was read earlier
	if got := m.reportAt(t0).Traffic; len(got) != 0 {
		t.Errorf("reported %+v", got)
	}
}

func TestReportTellsTheWorstStateOfBreakersAndItsAge(t *testing.T) {
	at := func(state resilience.State, age time.Duration) resilience.Status {
		return resilience.Status{State: state, Since: t0.Add(-age)}
	}
	closed := resilience.Status{}
	tests := map[string]struct {
		breakers       []resilience.Status
		open, halfOpen int
		age            time.Duration
	}{
		"closed":                       {[]resilience.Status{closed, closed}, 0, 0, 0},
		"open is worse than half-open": {[]resilience.Status{at(resilience.HalfOpen, time.Hour), at(resilience.Open, time.Second), closed}, 2, 1, time.Second},
		"the first that opened":        {[]resilience.Status{at(resilience.Open, time.Second), at(resilience.Open, time.Minute)}, 2, 0, time.Minute},
		"half-open alone":              {[]resilience.Status{at(resilience.HalfOpen, time.Hour), at(resilience.HalfOpen, time.Minute)}, 2, 2, time.Hour},
		"just now":                     {[]resilience.Status{at(resilience.Open, 0)}, 1, 0, 1},
		"since an unknown time":        {[]resilience.Status{{State: resilience.Open}}, 1, 0, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := testMeter()
			m.Recorder(payments, inventory).OpaqueOpened() // so that there is something to report
			m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
				f(routes.Stats{Policy: payments, Target: inventory, Destination: "d", Breakers: tc.breakers})
			}})
			got := m.reportAt(t0).Traffic[0]
			if got.BreakersOpen != tc.open || got.BreakersHalfOpen != tc.halfOpen || got.BreakerAge != tc.age {
				t.Errorf("%d open or half-open, %d half-open, for %s", got.BreakersOpen, got.BreakersHalfOpen, got.BreakerAge)
			}
		})
	}
}

func TestReportTellsOfOlderConnectionsAndNotices(t *testing.T) {
	m := testMeter()
	older := []Older{{policy.ID{Name: "few"}, 1}}
	for i := range policy.MaxOlder {
		older = append(older, Older{policy.ID{Namespace: "shop", Name: fmt.Sprint(i)}, 2})
	}
	notices := make([]policy.CaptureProblem, policy.MaxProblems+5)
	m.Watch(Sources{Captures: func() CaptureState { return CaptureState{OlderConnections: older, Notices: notices} }})
	r := m.Report()
	if len(r.Older) != policy.MaxOlder || r.Older[0].Policy.Name != "0" || r.Older[0].Connections != 2 || len(r.Notices) != policy.MaxProblems {
		t.Errorf("%d policies, the first %+v, %d notices", len(r.Older), r.Older[0], len(r.Notices))
	}
}

func TestReportSaysWhatIsCaptured(t *testing.T) {
	m := testMeter()
	problems := make([]policy.CaptureProblem, policy.MaxProblems+5)
	m.Watch(Sources{Captures: func() CaptureState { return CaptureState{Captured: 7, Uncaptured: 15, Problems: problems} }})
	r := m.Report()
	if r.Captured != 7 || r.Uncaptured != 15 || len(r.Problems) != policy.MaxProblems {
		t.Errorf("%d captured, %d not, %d problems", r.Captured, r.Uncaptured, len(r.Problems))
	}
}

// Nothing is lost or counted twice between counting and reporting, however they interleave.
func TestReportsAddUp(t *testing.T) {
	const workers, calls = 4, 5000
	m := testMeter()
	m.shards = 4
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			r := m.Recorder(payments, inventory)
			for range calls {
				r.CallDone(ended(call.OK, call.NotNeeded, 200))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var requests, latency uint64
	add := func() {
		for _, traffic := range m.reportAt(t0).Traffic {
			requests += traffic.Counts.Requests
			for _, n := range traffic.Latency {
				latency += n
			}
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		add()
	}
	if requests != workers*calls || latency != workers*calls {
		t.Errorf("%d calls and %d durations reported of %d", requests, latency, workers*calls)
	}
}

func TestBucketIsLatencyBucket(t *testing.T) {
	for i := range 2 * policy.LatencyBuckets {
		bound := policy.LatencyBound(i)
		for _, d := range []time.Duration{bound - 2, bound + 2, bound + bound/10, bound / 3} {
			if got, want := int(inReports[bucket(d)]), policy.LatencyBucket(d); got != want {
				t.Errorf("%v is in bucket %d, want %d", d, got, want)
			}
		}
	}
	for _, d := range []time.Duration{-1, 0, 1, 1 << 62} {
		if got, want := int(inReports[bucket(d)]), policy.LatencyBucket(max(d, 0)); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

// A scrape and a report may read the breakers at the same time: the one that reads first must not be the last to say what it saw.
func TestABreakerThatOpensIsCountedOnceByReadersThatOverlap(t *testing.T) {
	m := testMeter()
	k := recorderKey{policy.ParseID("shop/p"), "any"}
	m.Recorder(k.policy, k.target)
	var opened atomic.Uint64
	opened.Store(5)
	reading, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
		n := opened.Load()
		first.Do(func() { close(reading); <-goOn })
		f(routes.Stats{Policy: k.policy, Target: k.target, Destination: "d", Breakers: []resilience.Status{{Opened: n}}})
	}})
	var readers sync.WaitGroup
	readers.Go(func() { m.readGauges(time.Now()) })
	<-reading
	opened.Store(6)
	overtakes := make(chan struct{})
	readers.Go(func() { m.readGauges(time.Now()); close(overtakes) })
	select {
	case <-overtakes:
	case <-time.After(20 * time.Millisecond): // it waits for its turn
	}
	close(goOn)
	readers.Wait()
	if got := m.readGauges(time.Now())[k].opened; got != 6 {
		t.Errorf("%d counted, want 6", got)
	}
}
