package routes

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// adaptive is a binding whose attempts may take what others took, and so may those of rules.
func adaptive(window int) policy.Binding {
	b := withBreaker(policy.ShareNode)
	b.Base.Timeouts.Adaptive = policy.Adaptive{Min: time.Millisecond, Max: 5 * time.Second, Window: window}
	b.Rules = []policy.Rule{
		{Name: "own", Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: b.Base, OwnAdaptive: true},
		{Name: "shared", Match: []policy.RequestMatch{{Methods: []string{"PUT"}}}, Settings: b.Base},
		{Name: "off", Match: []policy.RequestMatch{{Methods: []string{"DELETE"}}}, Settings: b.Base, OwnAdaptive: true},
	}
	b.Rules[0].Settings.Timeouts.Adaptive.Max = 7 * time.Second
	b.Rules[2].Settings.Timeouts.Adaptive = policy.Adaptive{}
	return b
}

func adaptivePlans(t *testing.T, s *Table, pod string) (base, own, shared, off, opaque *resilience.AdaptiveTimeout) {
	t.Helper()
	r := routeTo(t, s, pod, "10.96.0.7:80")
	of := func(method string) *resilience.AdaptiveTimeout { return r.Plan([]byte(method), nil).Adaptive }
	return of("GET"), of("POST"), of("PUT"), of("DELETE"), r.OpaquePlan().Adaptive
}

func TestRule06_WhoseAttemptsAreKnown(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(adaptive(200)))
	base, own, shared, off, opaque := adaptivePlans(t, s, "a")
	if other, _, _, _, _ := adaptivePlans(t, s, "b"); base == nil || other != base || shared != base {
		t.Error("the pods of a node, or rules that say nothing of it, do not share an adaptive timeout")
	}
	if own == base || own.Limit() != 7*time.Second || off != nil {
		t.Error("rules do not have theirs")
	}
	if opaque == nil || opaque == base {
		t.Error("what connecting takes says something of requests")
	}
}

func TestAnEditKeepsWhatIsKnownOfAttempts(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(adaptive(200)))
	base, own, _, _, _ := adaptivePlans(t, s, "a")
	for range 100 {
		base.Succeeded(time.Second)
		own.Succeeded(2 * time.Second)
	}
	var shown time.Duration
	s.Stats(time.Now(), func(v Stats) { shown = v.AttemptTimeout })
	if shown != 2*time.Second {
		t.Errorf("%v is shown", shown)
	}
	edited := adaptive(50)
	edited.Rules = edited.Rules[1:]
	install(t, s, snapshot(edited))
	if again, _, _, _, _ := adaptivePlans(t, s, "a"); again != base || again.Samples() != 50 || again.Limit() != time.Second {
		t.Errorf("%d attempts are known", again.Samples())
	}
	edited.Base.Timeouts.Adaptive = policy.Adaptive{}
	edited.Rules = nil
	install(t, s, snapshot(edited))
	if after, _, _, _, _ := adaptivePlans(t, s, "a"); after != nil {
		t.Error("it is still there")
	}
	install(t, s, snapshot(adaptive(200)))
	if anew, own, _, _, _ := adaptivePlans(t, s, "a"); anew.Samples() != 0 || own.Samples() != 0 {
		t.Error("what was known before it was removed is known again")
	}
}

// Hedging by a percentile has what is known of latencies where adaptive timeouts have it, but for connections that are passed through, which are not hedged.
func TestRule17_WhoseLatenciesCount(t *testing.T) {
	with := func(percent int) policy.Binding {
		b := adaptive(200)
		for i, s := range []*policy.Settings{&b.Base, &b.Rules[0].Settings, &b.Rules[1].Settings} {
			s.Retry.Hedging = policy.Hedging{Max: 1, Percentile: percent + i%2}
		}
		b.Rules[1].Settings.Retry.Hedging = b.Base.Retry.Hedging
		b.Rules[0].OwnHedging = true
		return b
	}
	s := newTable(t)
	install(t, s, snapshot(with(90)))
	r := routeTo(t, s, "a", "10.96.0.7:80")
	of := func(r *Route, method string) *resilience.LatencyPercentile {
		return r.Plan([]byte(method), nil).Hedge.Latency
	}
	base := of(r, "GET")
	if base == nil || of(r, "PUT") != base || of(routeTo(t, s, "b", "10.96.0.7:80"), "GET") != base {
		t.Error("they are not shared")
	}
	if own := of(r, "POST"); own == nil || own == base || of(r, "DELETE") != nil {
		t.Error("a rule does not have its own")
	}
	if h := r.OpaquePlan().Hedge; h.Max != 0 || h.Latency != nil {
		t.Errorf("what is passed through is hedged: %+v", h)
	}
	for i := range 100 {
		base.Took(time.Duration(i+1) * time.Millisecond)
	}
	install(t, s, snapshot(with(50)))
	if again := of(routeTo(t, s, "a", "10.96.0.7:80"), "GET"); again != base || again.Value() != 50*time.Millisecond {
		t.Errorf("after an edit it is %v", again.Value())
	}
	fixed := with(50)
	fixed.Base.Retry.Hedging = policy.Hedging{Max: 2, Delay: time.Second}
	fixed.Rules = nil
	install(t, s, snapshot(fixed))
	if h := routeTo(t, s, "a", "10.96.0.7:80").Plan([]byte("GET"), nil).Hedge; h.Latency != nil || h.Delay() != time.Second || h.Max != 2 {
		t.Errorf("%+v", h)
	}
}
