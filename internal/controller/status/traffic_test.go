package status

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// reporting is a view of a policy of which agents report, with a circuit breaker or without.
func reporting(breaker bool) *index.View {
	return &index.View{
		ID: policy.ParseID("shop/p"), Generation: 3, Mode: v1alpha1.ModeEnforce, InForce: true, Pods: 1, Profiles: []string{"p"}, HasBreaker: breaker,
		Reports: map[index.ReportKey]struct{}{{Policy: policy.ParseID("shop/p"), Target: "any"}: {}},
	}
}

func shownOf(v *index.View, f distribute.Figures) *v1alpha1.TrafficStatus {
	return trafficOf(v, &Reports{Figures: f}, nil)
}

func TestTrafficFigures(t *testing.T) {
	var latency policy.Latency
	latency[policy.LatencyBucket(3*time.Millisecond)] = 980
	latency[policy.LatencyBucket(2*time.Second)] = 20
	f := distribute.Figures{
		AsOf: begin.Add(123 * time.Millisecond),
		Counts: policy.Counts{Requests: 100000, Successes: 99999, Abandoned: 3, Truncated: 4, Retries: 7, RetrySuccesses: 6, NotRetriedBudget: 1,
			PoolOverflow: 9, Hedges: 8, HedgesWon: 5, Fallbacks: 2, Opaque: 12, OpaqueSent: 100, OpaqueReceived: 5000},
		Latency: latency, Breakers: distribute.Breakers{Open: 2, HalfOpen: 1}, OpaqueOpen: 3, OlderConnections: 37,
		PerSecond: 1666.7, Covered: distribute.Window,
	}
	asOf, share := metav1.NewTime(begin), int32(99)
	want := &v1alpha1.TrafficStatus{
		Window: "1m", AsOf: &asOf, Requests: 100000, SuccessPercent: &share, Abandoned: 3, Truncated: 4, Retries: 7, RetrySuccesses: 6,
		NotRetried: &v1alpha1.NotRetried{Budget: 1}, PoolOverflow: 9, Hedges: 8, HedgesWon: 5, Fallbacks: 2, BreakersOpen: 2, BreakersHalfOpen: 1, OlderConnections: 37,
		Opaque: &v1alpha1.OpaqueTraffic{Opened: 12, Open: 3, SentBytes: 100, ReceivedBytes: 5000, Summary: "3 open, 12 opened"},
		P50:    "3.1ms", P99: "2.0s", RPS: "1667", Success: "99.99%", Breaker: "Open(2)",
	}
	if diff := cmp.Diff(want, shownOf(reporting(true), f)); diff != "" {
		t.Error(diff)
	}
}

// Every blank and every zero has one meaning.
func TestWhatBlankAndZeroMean(t *testing.T) {
	if got := shownOf(reporting(true), distribute.Figures{}); got != nil {
		t.Errorf("figures without a report: %+v", got)
	}
	idle := shownOf(reporting(true), distribute.Figures{AsOf: begin})
	if idle.RPS != "0" || idle.Success != "" || idle.SuccessPercent != nil || idle.P50 != "" || idle.P99 != "" || idle.Breaker != "Closed" || idle.Opaque != nil {
		t.Errorf("nobody called: %+v", idle)
	}
	outage := shownOf(reporting(true), distribute.Figures{AsOf: begin, Counts: policy.Counts{Requests: 40, Abandoned: 40}, PerSecond: 0.67})
	if outage.RPS != "0.67" || outage.Success != "0.00%" || *outage.SuccessPercent != 0 || outage.Abandoned != 40 || outage.P99 != "" {
		t.Errorf("everybody gave up: %+v", outage)
	}
	if got := percent(5, 5); got != "100%" {
		t.Errorf("all: %s", got)
	}
}

func TestBreakerColumn(t *testing.T) {
	tests := map[string]struct {
		own  bool
		give distribute.Breakers
		want string
	}{
		"all closed":                       {true, distribute.Breakers{}, "Closed"},
		"open is worse":                    {true, distribute.Breakers{Open: 1, HalfOpen: 3}, "Open(1)"},
		"half-open":                        {true, distribute.Breakers{HalfOpen: 1}, "HalfOpen(1)"},
		"none":                             {false, distribute.Breakers{}, "-"},
		"none, but one of a merged policy": {false, distribute.Breakers{Open: 2}, "Open(2)"},
	}
	for name, tc := range tests {
		if got := shownOf(reporting(tc.own), distribute.Figures{AsOf: begin, Breakers: tc.give}).Breaker; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if got := shownOf(reporting(true), distribute.Figures{AsOf: begin, Ejected: 3}).Breaker; got != "Ejected(3)" {
		t.Errorf("endpoints are out: %q", got)
	}
	if got := shownOf(reporting(true), distribute.Figures{AsOf: begin, Ejected: 3, Breakers: distribute.Breakers{Open: 1}}).Breaker; got != "Open(1)" {
		t.Errorf("endpoints are out, and a breaker is open: %q", got)
	}
}

// An agent that has gone does not close breakers.
func TestBreakersOfAnAgentThatHasGoneAreShownAsTheyWere(t *testing.T) {
	base := &v1alpha1.TrafficStatus{Breaker: "Open(2)", BreakersOpen: 2, BreakersHalfOpen: 1}
	for name, tc := range map[string]struct {
		give distribute.Breakers
		want string
	}{
		"lost":                  {distribute.Breakers{Lost: 3}, "Open(2)"},
		"lost, and others open": {distribute.Breakers{Lost: 2, Open: 1}, "Open(1)"},
		"closed":                {distribute.Breakers{Closings: 3}, "Closed"},
	} {
		got := trafficOf(reporting(true), &Reports{Figures: distribute.Figures{AsOf: begin, Breakers: tc.give}}, base)
		if got.Breaker != tc.want || (got.BreakersHalfOpen == 1) != (tc.want == base.Breaker) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRatesAreShownWithWhatIsKnown(t *testing.T) {
	for give, want := range map[float64]string{
		0: "0", 0.001: "0.01", 0.0167: "0.02", 0.5: "0.50", 0.999: "1.0", 12.49: "12.5", 99.96: "100", 1666.7: "1667",
	} {
		if got := callsPerSecond(give); got != want {
			t.Errorf("%g: %s, want %s", give, got, want)
		}
	}
}

func TestDurationsAreShownWithTwoDigits(t *testing.T) {
	for give, want := range map[time.Duration]string{
		45 * time.Microsecond: "0.045ms", 354 * time.Microsecond: "0.35ms", 999 * time.Microsecond: "1.0ms", 3444 * time.Microsecond: "3.4ms",
		9999 * time.Microsecond: "10ms", 123 * time.Millisecond: "120ms", 994 * time.Millisecond: "990ms", 995 * time.Millisecond: "1.0s",
		5474 * time.Millisecond: "5.5s", 9960 * time.Millisecond: "10s", 45678 * time.Millisecond: "46s",
	} {
		if got := twoDigits(give); got != want {
			t.Errorf("%s: %s, want %s", give, got, want)
		}
	}
	var l policy.Latency
	l[policy.LatencyBucket(time.Hour)] = 1
	if got := quantile(&l, 0.99); got != ">50s" {
		t.Errorf("an hour: %s", got)
	}
}

// The API promises: at most 12 % off, and two digits of that.
func TestQuantilesAreAsExactAsTheySay(t *testing.T) {
	for d := 55 * time.Microsecond; d < 50*time.Second; d += d / 17 {
		var l policy.Latency
		l[policy.LatencyBucket(d)] = 3
		got, bounded := l.Quantile(0.99)
		if off := math.Abs(float64(got-d)) / float64(d); !bounded || off > 0.12 {
			t.Errorf("%s reads %s", d, got)
		}
	}
}

func TestFiguresGrowOldForAMinuteWhileReportsAreAway(t *testing.T) {
	base := &v1alpha1.TrafficStatus{Requests: 7}
	v := reporting(false)
	f := distribute.Figures{AsOf: begin, Counts: policy.Counts{Requests: 1}}
	tests := map[string]struct {
		agents Reports
		want   int64 // -1: none
	}{
		"a new leader whose agents have yet to come back":     {Reports{KnownFor: Silence - 1}, 7},
		"agents that do not come back":                        {Reports{KnownFor: Silence}, -1},
		"a report":                                            {Reports{Figures: f}, 1},
		"first calls, not long enough to say a rate":          {Reports{Figures: distribute.Figures{AsOf: begin, Covered: time.Second}}, 7},
		"agents that have just gone silent":                   {Reports{Figures: distribute.Figures{AsOf: begin, Age: Silence - 1}}, 0},
		"agents that have been silent for the whole window":   {Reports{Figures: distribute.Figures{AsOf: begin, Age: Silence}}, -1},
		"agents that have been silent ever since, long after": {Reports{Figures: distribute.Figures{AsOf: begin, Age: Silence, Counts: f.Counts}, KnownFor: time.Hour}, -1},
	}
	for name, tc := range tests {
		got := trafficOf(v, &tc.agents, base)
		if got == nil && tc.want != -1 || got != nil && got.Requests != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := trafficOf(&index.View{Generation: 3, Mode: v1alpha1.ModeDisabled}, &Reports{Figures: f}, base); got != nil {
		t.Errorf("a policy that governs nothing shows %+v", got)
	}
}

func TestFiguresCountACallForEveryPolicyMerged(t *testing.T) {
	reports := map[policy.ID]distribute.Figures{
		policy.ParseID("shop/p"): {AsOf: begin, Age: time.Second, OlderConnections: 30, Targets: []distribute.TargetFigures{
			{Target: "any", Counts: policy.Counts{Requests: 1}, OpaqueOpen: 1},
			{Target: "host a.example", Counts: policy.Counts{Requests: 2}, OpaqueOpen: 2, Breakers: distribute.Breakers{Open: 1, For: time.Minute}}}},
		policy.ParseID("base"): {AsOf: begin.Add(time.Second), OlderConnections: 7, Targets: []distribute.TargetFigures{
			{Target: "any", Counts: policy.Counts{Requests: 4}, OpaqueOpen: 4, Breakers: distribute.Breakers{HalfOpen: 1, For: time.Hour}}}},
	}
	v := index.View{ID: policy.ParseID("shop/p"), Reports: map[index.ReportKey]struct{}{
		{Policy: policy.ParseID("shop/p"), Target: "host a.example"}: {}, {Policy: policy.ParseID("base"), Target: "any"}: {},
	}}
	f := Sum(&v, func(id policy.ID) distribute.Figures { return reports[id] })
	if f.Counts.Requests != 6 || len(f.Targets) != 2 || !f.AsOf.Equal(begin.Add(time.Second)) || f.Age != 0 || f.OpaqueOpen != 6 || f.OlderConnections != 30 {
		t.Errorf("got %+v", f)
	}
	if want := (distribute.Breakers{Open: 1, HalfOpen: 1, For: time.Minute}); f.Breakers != want {
		t.Errorf("got %+v, want %+v", f.Breakers, want)
	}
}

// The API server refuses a status as a whole, so that figures beyond the schema's bounds would keep the conditions from being written.
func TestFiguresThatCannotBeAreCutToWhatTheAPITakes(t *testing.T) {
	const absurd = math.MaxUint64
	f := distribute.Figures{AsOf: begin, Breakers: distribute.Breakers{Open: math.MaxInt, HalfOpen: math.MaxInt}, PerSecond: math.MaxFloat64, OpaqueOpen: math.MaxInt,
		OlderConnections: math.MaxInt, Counts: policy.Counts{
			Requests: absurd, Successes: 1 << 63, Abandoned: absurd, Truncated: absurd, Retries: absurd, RetrySuccesses: absurd,
			NotRetriedMethod: absurd, NotRetriedBody: absurd, NotRetriedBudget: absurd, NotRetriedDeadline: absurd, NotRetriedNotRetryable: absurd,
			NotRetriedExhausted: absurd, Timeouts: absurd, RateLimited: absurd, BreakerRejected: absurd, PoolOverflow: absurd,
			Hedges: absurd, HedgesWon: absurd, Fallbacks: absurd, Opaque: absurd, OpaqueSent: absurd, OpaqueReceived: absurd,
		}}
	got := shownOf(reporting(true), f)
	for name, n := range map[string]int64{
		"requests": got.Requests, "abandoned": got.Abandoned, "truncated": got.Truncated, "retries": got.Retries, "retrySuccesses": got.RetrySuccesses,
		"hedges": got.Hedges, "hedgesWon": got.HedgesWon, "fallbacks": got.Fallbacks, "timeouts": got.Timeouts, "rateLimited": got.RateLimited, "poolOverflow": got.PoolOverflow, "olderConnections": got.OlderConnections,
		"breakerRejected": got.BreakerRejected, "breakersOpen": got.BreakersOpen, "breakersHalfOpen": got.BreakersHalfOpen,
		"method": got.NotRetried.Method, "body": got.NotRetried.Body, "budget": got.NotRetried.Budget, "deadline": got.NotRetried.Deadline,
		"notRetryable": got.NotRetried.NotRetryable, "exhausted": got.NotRetried.Exhausted,
		"opened": got.Opaque.Opened, "open": got.Opaque.Open, "sent": got.Opaque.SentBytes, "received": got.Opaque.ReceivedBytes,
	} {
		if n <= 0 {
			t.Errorf("%s is %d", name, n)
		}
	}
	if len(got.RPS) > 16 || len(got.Success) > 16 || len(got.Breaker) > 24 || len(got.Opaque.Summary) > 48 || *got.SuccessPercent < 0 || *got.SuccessPercent > 100 {
		t.Errorf("got %+v", got)
	}
}

func TestDestinationsSayHowManyEndpointsAreOut(t *testing.T) {
	v := reporting(true)
	v.Destinations = []index.Destination{{Destination: compile.Destination{Label: "any", Target: "any"}}, {Destination: compile.Destination{Label: "other", Target: "host other"}}}
	f := distribute.Figures{AsOf: begin, Targets: []distribute.TargetFigures{{Target: "any", Ejected: 2}}}
	got := destinationStatuses(v, &f, &v1alpha1.PolicyStatus{}, metav1.NewTime(begin))
	if got[0].Ejected == nil || *got[0].Ejected != 2 || got[0].Breaker != v1alpha1.BreakerStateClosed || got[1].Ejected != nil {
		t.Errorf("got %+v", got)
	}
}

func TestDestinationsSayHowTheirBreakersStandAndSinceWhen(t *testing.T) {
	const label = "any"
	v := reporting(true)
	v.Destinations = []index.Destination{{Destination: compile.Destination{Label: label, Target: "any"}}, {Destination: compile.Destination{Label: "other", Target: "host other"}}}
	at := func(b distribute.Breakers) distribute.Figures {
		return distribute.Figures{AsOf: begin, Targets: []distribute.TargetFigures{{Target: "any", Breakers: b}}}
	}
	status, now := &v1alpha1.PolicyStatus{}, begin
	want := func(after time.Duration, b distribute.Breakers, state v1alpha1.BreakerState, since string) {
		t.Helper()
		now = now.Add(after)
		f := at(b)
		status.Destinations = destinationStatuses(v, &f, status, metav1.NewTime(now))
		d, got := status.Destinations[0], "-"
		if d.BreakerSince != nil {
			got = d.BreakerSince.Sub(begin).String()
		}
		if d.Breaker != state || got != since {
			t.Errorf("after %s: %s since %s, want %s since %s", now.Sub(begin), d.Breaker, got, state, since)
		}
		if o := status.Destinations[1]; o.Breaker != v1alpha1.BreakerStateClosed || o.BreakerSince != nil {
			t.Errorf("the other: %s since %s", o.Breaker, o.BreakerSince)
		}
	}
	want(0, distribute.Breakers{}, "Closed", "-")
	want(time.Minute, distribute.Breakers{Open: 1, For: 4 * time.Second}, "Open", "56s")
	want(10*time.Second, distribute.Breakers{Open: 1, For: 13*time.Second + 300*time.Millisecond}, "Open", "56s")
	want(5*time.Second, distribute.Breakers{HalfOpen: 1, For: time.Second}, "HalfOpen", "1m14s")
	want(5*time.Second, distribute.Breakers{Open: 1, For: 2 * time.Second}, "Open", "1m18s")
	want(20*time.Second, distribute.Breakers{Open: 1, For: time.Second}, "Open", "1m39s") // it closed in between
	want(20*time.Second, distribute.Breakers{}, "Closed", "2m0s")
	want(20*time.Second, distribute.Breakers{}, "Closed", "2m0s")
	want(20*time.Second, distribute.Breakers{Open: 1, For: 2 * time.Second}, "Open", "2m38s")
	want(20*time.Second, distribute.Breakers{Lost: 1}, "Open", "2m38s") // its agent has gone
	want(20*time.Second, distribute.Breakers{Closings: 1}, "Closed", "3m20s")
	v.HasBreaker = false
	v.Destinations = v.Destinations[:1]
	f := at(distribute.Breakers{})
	if d := destinationStatuses(v, &f, status, metav1.NewTime(now))[0]; d.Breaker != "" || d.BreakerSince != nil {
		t.Errorf("without a circuit breaker: %s since %s", d.Breaker, d.BreakerSince)
	}
}

// The message of Ready is what people see: it says what they will wonder about, and Ready stays True.
func TestReadySaysWhatThereIsToKnow(t *testing.T) {
	none, some := int32(0), int32(2)
	service := func(label string, endpoints *int32) index.Destination {
		return index.Destination{Destination: compile.Destination{Label: label}, Endpoints: endpoints}
	}
	notice := policy.CaptureProblem{Namespace: "shop", Pod: "a", Reason: "ForeignRedirect", Message: "a proxy of its own"}
	tests := map[string]struct {
		destinations []index.Destination
		figures      distribute.Figures
		want         string
	}{
		"a Service without endpoints": {[]index.Destination{service("warehouse/inventory:80", &none), service("b:80", &some), service("host c", nil)}, distribute.Figures{},
			"warehouse/inventory:80 has no endpoints; calls to it go to the cluster and fail as without the policy."},
		"two of them": {[]index.Destination{service("a:80", &none), service("b:80", &none)}, distribute.Figures{},
			"a:80 and b:80 have no endpoints; calls to them go to the cluster and fail as without the policy."},
		"older connections": {nil, distribute.Figures{OlderConnections: 37},
			"37 connections were opened before their pods were captured and are not governed; they are once they are opened again, as by a restart of the pods."},
		"one older connection": {nil, distribute.Figures{OlderConnections: 1},
			"1 connection was opened before its pod was captured and is not governed; it is once it is opened again, as by a restart of the pod."},
		"a notice": {nil, distribute.Figures{Notices: []policy.CaptureProblem{notice}},
			"To know of captured pods: shop/a (ForeignRedirect: a proxy of its own)."},
		"two notices of one pod": {nil, distribute.Figures{Notices: []policy.CaptureProblem{notice, {Namespace: "shop", Pod: "a", Reason: "RulesChanged", Message: "b"}}},
			"To know of captured pods: shop/a (ForeignRedirect: a proxy of its own), shop/a (RulesChanged: b)."},
		"all is well": {[]index.Destination{service("b:80", &some)}, distribute.Figures{}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := reporting(false)
			v.Destinations = tc.destinations
			figures := Sum(v, func(policy.ID) distribute.Figures { return tc.figures })
			s := Of(v, &Reports{Rollout: distribute.Rollout{Desired: 1, Programmed: 1}, Figures: figures}, before(), metav1.NewTime(begin))
			c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
			want := strings.TrimSpace(fmt.Sprintf("In force for 1 pod on 1 node. %s", tc.want))
			if c.Status != metav1.ConditionTrue || c.Message != want {
				t.Errorf("%s: %q, want %q", c.Status, c.Message, want)
			}
			if len(s.Conditions) != 3 {
				t.Errorf("conditions %q", brief(s))
			}
		})
	}
}
