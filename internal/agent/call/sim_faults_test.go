package call

import (
	"math/rand/v2"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// faultWorld drives calls under random plans with faults, and knows what the driver has.
type faultWorld struct {
	*testing.T
	random *rand.Rand
	call   Call
	plan   *simPlan
	now    time.Time
	placed map[AttemptID]bool // under way, by whether they have a place
	kept   AttemptSet
	starts int
	ends   int
}

// Whatever faults meet which attempts, the driver is asked for nothing that it cannot do, no call has more attempts than its policy allows or outlasts its
// deadline, and everything that was taken comes back.
func TestFaultsKeepTheRules(t *testing.T) {
	var kinds [KindCount]int
	held, beside, injected := 0, 0, 0
	for seed := range uint64(60) {
		plans := simPlans(seed, 4)
		random := rand.New(rand.NewPCG(seed, 3))
		for _, p := range plans {
			p.Gates, p.Shadow = nil, nil
			p.Faults = &Faults{Ends: t0.Add(24 * time.Hour), Faults: &policy.Faults{
				Until: t0.Add(24 * time.Hour).Unix(), Percent: 1 + random.IntN(100), Delay: time.Duration(random.IntN(2)*random.IntN(500)) * ms,
				JitterPercent: random.IntN(101), Abort: policy.FaultAbort(random.IntN(3)), Status: 400 + random.IntN(200), GRPCStatus: policy.GRPCStatus(random.IntN(16) + 1),
			}}
			if p.Hedge.Max > 0 {
				p.Hedge.After = time.Duration(1+random.IntN(100)) * ms
			}
		}
		w := &faultWorld{T: t, random: random, now: t0}
		for range 400 {
			w.plan = plans[random.IntN(len(plans))]
			w.serve(&held, &beside, &injected)
			kinds[w.call.Outcome().Kind]++
		}
		checkPlans(t, plans, w.now.Add(time.Hour))
	}
	for what, n := range map[string]int{"held up": held, "beside": beside, "injected": injected, "answered with a fault": kinds[Injected], "forwarded": kinds[OK]} {
		if n == 0 {
			t.Errorf("%s: never", what)
		}
	}
}

// serve serves one call to its end.
func (w *faultWorld) serve(held, beside, injected *int) {
	w.placed, w.kept, w.starts = map[AttemptID]bool{}, 0, 0
	q := Request{Method: Method(w.random.IntN(3)), GRPC: w.random.IntN(3) == 0}
	began := w.now
	a := w.call.Begin(w.now, &w.plan.Plan, q)
	for steps := 0; ; steps++ {
		if steps > 10_000 {
			w.Fatalf("the call goes on for ever: %+v, %v", a, w.placed)
		}
		for id := range a.Cancel.All() {
			delete(w.placed, id)
			w.kept &^= SetOf(id)
		}
		if d := w.call.Deadline(); !d.IsZero() && w.now.After(d.Add(time.Second)) {
			w.Fatalf("a call goes on for %v", w.now.Sub(began))
		}
		switch a.Do {
		case Inject:
			*injected++
			a = w.call.Injected(w.now, a.Attempt)
		case StartAttempt:
			if _, there := w.placed[a.Attempt]; there || w.kept.Has(a.Attempt) || w.call.Beside(a.Attempt) != (len(w.placed) > 0) {
				w.Fatalf("starts %+v beside %v", a, w.placed)
			}
			if w.call.Beside(a.Attempt) && a.Start != Hedged {
				*beside++
			}
			w.placed[a.Attempt] = false
			if w.starts++; w.starts > 3+w.plan.limit {
				w.Fatalf("%d starts, at most %d retries", w.starts, w.plan.limit)
			}
			a = w.step(a)
		case Wait:
			if len(w.placed) > 0 || a.Until.IsZero() {
				w.Fatalf("waits beside %v: %+v", w.placed, a)
			}
			*held++
			if w.random.IntN(100) == 0 {
				a = w.call.ClientGone(w.now)
				continue
			}
			w.now = later(w.now, a.Until)
			a = w.call.Timer(w.now)
		case Continue, AwaitTrailers:
			if len(w.placed) == 0 {
				w.Fatalf("goes on with nothing: %+v", a)
			}
			a = w.step(a)
		case Forward, ForwardKept:
			w.call.Finished(w.now, a.Attempt, End{GRPCStatus: -1})
			return
		case Reject, Respond, Abort:
			return
		case Park:
			w.Fatal("parks")
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// step lets something happen to an attempt, or time pass.
func (w *faultWorld) step(last Action) Action {
	var ids []AttemptID
	for id := range AttemptID(MaxAttempts) {
		if _, ok := w.placed[id]; ok {
			ids = append(ids, id)
		}
	}
	id := ids[w.random.IntN(len(ids))]
	w.now = w.now.Add(time.Duration(w.random.IntN(20)) * ms)
	if next := w.call.NextAt(); !next.IsZero() && w.random.IntN(2) == 0 {
		w.now = later(w.now, next)
	}
	if next := w.call.NextAt(); !next.IsZero() && !w.now.Before(next) {
		return w.call.Timer(w.now)
	}
	if !w.placed[id] {
		if w.call.Beside(last.Attempt) && last.Do == StartAttempt && last.Attempt == id && w.random.IntN(4) == 0 {
			delete(w.placed, id)
			return w.call.Unplaced(w.now, id)
		}
		w.placed[id] = true
		return w.call.Placed(w.now, id, endpoint)
	}
	switch w.random.IntN(4) {
	case 0:
		w.call.BytesAccepted(id)
		return w.call.RequestWritten(w.now, id)
	case 1:
		delete(w.placed, id)
		w.ends++
		return w.call.AttemptFailed(w.now, id, Failure{Kind: []Kind{ConnectFailed, Reset}[w.random.IntN(2)]})
	case 2:
		delete(w.placed, id)
		w.ends++
		a := w.call.ResponseHead(w.now, id, Response{Status: []int{200, 503, 404}[w.random.IntN(3)], GRPCStatus: -1})
		if a.Keep {
			w.kept = SetOf(id)
		}
		return a
	}
	return w.call.Timer(w.now)
}
