package routes

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// published is a plan as a call got it.
type published struct {
	plan     *Plan
	settings string
	headers  string
	copied   Plan
}

func publish(t *testing.T, p *Plan) published {
	t.Helper()
	return published{plan: p, settings: written(t, p.Settings), headers: written(t, p.ResponseHeaders), copied: *p}
}

// written is a value with all that it points to.
func written(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// changed names what is not as it was published.
func (p published) changed(t *testing.T) string {
	t.Helper()
	now, was := *p.plan, p.copied
	now.Random, was.Random = nil, nil // which cannot be compared
	switch {
	case written(t, p.plan.Settings) != p.settings:
		return "the settings"
	case written(t, p.plan.ResponseHeaders) != p.headers:
		return "the response's fields"
	case !reflect.DeepEqual(now, was):
		return "the plan"
	}
	return ""
}

// plansOf returns every plan that a route has: for each rule, and for connections that are passed through.
func plansOf(r *Route) []*Plan {
	return []*Plan{r.Plan([]byte("GET"), []byte("/")), r.Plan([]byte("GET"), []byte("/rule")), r.OpaquePlan()}
}

// edited returns a snapshot that differs at random from others in everything that a plan depends on.
func edited(random *rand.Rand) *policy.Snapshot {
	b := withBreaker(policy.ShareNode)
	change := func(s *policy.Settings) {
		s.Timeouts.PerTry = time.Duration(random.IntN(5)) * time.Second
		s.Retry.MaxRetries, s.Retry.Budget.Percent = random.IntN(5), 1+random.IntN(50)
		s.Retry.ResponseHeaders = []policy.HeaderMatch{{Name: "X-Retry", Value: string(rune('a' + random.IntN(3)))}}
		if random.IntN(3) == 0 {
			s.Breaker = nil
		} else {
			s.Breaker.ConsecutiveFailures = 1 + random.IntN(3)
		}
	}
	rule := policy.Rule{Name: "rule", Settings: b.Base, OwnBudget: random.IntN(2) == 0, OwnBreaker: random.IntN(2) == 0}
	rule.Match = []policy.RequestMatch{{PathType: policy.PathExact, Path: "/rule"}}
	breaker := *b.Base.Breaker
	rule.Settings.Breaker = &breaker
	change(&b.Base)
	change(&rule.Settings)
	if rule.OwnBreaker = rule.OwnBreaker && rule.Settings.Breaker != nil; !rule.OwnBreaker {
		rule.Settings.Breaker = b.Base.Breaker
	}
	if random.IntN(4) > 0 {
		b.Rules = []policy.Rule{rule}
	}
	snap := snapshot(b)
	if random.IntN(3) == 0 {
		d := shop()
		d.Ports[0].Endpoints = d.Ports[0].Endpoints[:random.IntN(3)]
		snap.Destinations["ns/shop"] = d
	}
	return snap
}

// A call keeps the plan that it began with, whatever is installed while it lasts: nothing that a plan says is changed after somebody got it.
// Calls read theirs all the while, so that the race detector sees what the comparison does not.
func TestRule33_APublishedPlanDoesNotChange(t *testing.T) {
	for seed := range uint64(10) {
		s, random := newTable(t), rand.New(rand.NewPCG(seed, 33))
		var all []published
		var calls sync.WaitGroup
		stop := make(chan struct{})
		for range 50 {
			snap := edited(random)
			install(t, s, snap)
			if random.IntN(4) == 0 {
				install(t, s, snap) // the same again
			}
			for _, pod := range []string{"a", "b"} {
				r := routeTo(t, s, pod, "10.96.0.7:80")
				for _, p := range plansOf(r) {
					all = append(all, publish(t, p))
				}
				calls.Go(func() { readUntil(stop, r) })
			}
		}
		install(t, s, &policy.Snapshot{}) // nothing governs any more
		close(stop)
		calls.Wait()
		for _, p := range all {
			if what := p.changed(t); what != "" {
				t.Fatalf("seed %d: %s has changed since it was published", seed, what)
			}
		}
	}
}

// readUntil reads the plans of a route as calls do, a few times.
func readUntil(stop <-chan struct{}, r *Route) {
	for range 20 {
		for _, p := range plansOf(r) {
			_, _ = p.Settings.Timeouts.PerTry, p.Settings.Retry.MaxRetries
			_, _, _ = p.Breaker, p.Budget, len(p.ResponseHeaders)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}
