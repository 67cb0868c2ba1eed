package routes

import (
	"maps"
	"reflect"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// A profile's dry runs are what calls would come under if policies that are not enforced were. What is enforced is found first, as if there were
// none; then what the call would come under is found among them, and has a second call decide beside the first (call.Plan.Shadow). Calls
// that nothing enforced governs are touched as little as looking at them takes.

// compileDryRun compiles a binding of a dry run: one that has its calls untouched, with what they would come under. Where they would come under
// what they come under now, there is nothing more to it.
func (s *Table) compileDryRun(source *policy.Binding, d *policy.Destination, next *installation) (*Binding, error) {
	would, err := next.compileBinding(source, d)
	if err != nil || source.Unchanged {
		return would, err
	}
	plain := *source
	plain.Base, plain.Rules, plain.RejectQUIC = policy.Untouched(), nil, false
	plain.Base.AccessLog = source.Base.AccessLog
	plain.To.TLS, plain.To.Via = policy.TLS{}, policy.Via{}
	if !would.Opaque() { // what is declared and is not so must not break calls
		plain.To.Protocol = policy.ProtocolAuto
	}
	b, err := next.compileBinding(&plain, d)
	if err != nil {
		return nil, err
	}
	b.origin, b.would = source, would
	would.recorder = s.observer.Recorder(source.Policy, source.To.String())
	b.recorder = would.recorder
	return b, nil
}

// Untouched reports whether calls under the binding are only looked at.
func (b *Binding) Untouched() bool { return b.origin.Mode == policy.ModeDryRun }

// wouldBe is what calls would come under at one concrete destination; the zero value: what they come under.
type wouldBe struct {
	*Binding
	destination string
}

// wouldBe returns what a request that a candidate governs, at a destination, would come under.
func (t *PodRoutes) wouldBe(c *Candidate, destination string, r request) wouldBe {
	if c.Untouched() {
		return wouldBe{c.Binding.would, destination}
	}
	for _, b := range t.profile.dryRuns {
		d, ok := b.covers(r.original)
		switch {
		case !ok || !d.Governs(r.host):
		case b.would == nil:
			return wouldBe{}
		default:
			return wouldBe{b.would, d.destinationOf(r)}
		}
	}
	return wouldBe{}
}

// would are what the calls under the versions would come under, as far as they are only looked at.
func (v versions) would() versions {
	var out versions
	for _, b := range v {
		if b.would != nil {
			out = append(out, b.would)
		}
	}
	return out
}

// maxShadows bounds how many things the calls of one entry can be found to come under: a pod that calls one host at many addresses must not
// decide how much memory that takes.
const maxShadows = 16

// shadowOf returns what is kept about what calls of an entry would come under; nil: they are not looked at. It expects the lock.
func (s *Table) shadowOf(e *entry, w wouldBe) *state {
	of := s.bindings[w.Key()].would()
	if len(of) == 0 || e.forgotten.Load() {
		return nil
	}
	k := stateKey{binding: w.Key(), destination: w.destination, shadow: true}
	st := s.states.find(k)
	if st != nil && e.shadows[k] == st {
		return st
	}
	p, had := s.entries.pods[e.pod], len(e.shadows)
	maps.DeleteFunc(e.shadows, func(k stateKey, st *state) bool { return s.states.find(k) != st }) // those whose policy has gone
	p.shadows -= had - len(e.shadows)
	if len(e.shadows) >= maxShadows || st == nil && !s.makeShadowRoom(p) {
		return nil
	}
	if st == nil {
		st = newShadowState(k)
		s.states.add(st)
	}
	if e.shadows == nil {
		e.shadows = map[stateKey]*state{}
	}
	e.shadows[k] = st
	p.shadows++
	st.entries++
	return st
}

// makeShadowRoom has the pods with the most shadows lose those of some entries while there are as many as may be, and reports whether there is room
// for one more. The pod that asks gets none of a pod that would have fewer than it then. It expects the lock.
func (s *Table) makeShadowRoom(asking *podEntries) bool {
	const most = 8 // at once: others wait meanwhile
	for range most {
		if s.states.shadows < s.maxDynamic {
			return true
		}
		from := asking
		for _, p := range s.entries.pods {
			if p.shadows > from.shadows {
				from = p
			}
		}
		if from.shadows < asking.shadows+maxShadows {
			return false
		}
		e := from.shadowed()
		if t := s.PodRoutes(e.pod); t != nil {
			t.forget(e)
		}
		s.leaveShadows(e)
	}
	return s.states.shadows < s.maxDynamic
}

// shadowed returns one of the entries that have shadows; there must be some.
func (p *podEntries) shadowed() *entry {
	for _, e := range p.all {
		if len(e.shadows) > 0 {
			return e
		}
	}
	return nil
}

// leaveShadows forgets the shadows of an entry that no other one has. It expects the lock.
func (s *Table) leaveShadows(e *entry) {
	if p := s.entries.pods[e.pod]; p != nil {
		p.shadows -= len(e.shadows)
	}
	for k, st := range e.shadows {
		st.dropPod(e.pod)
		if st.entries--; st.entries == 0 && s.states.find(k) == st {
			s.states.forget(st)
		}
	}
	e.shadows = nil
}

// addShadows gives the plans of a route what decides beside them: for each of them as many as what calls would come under has. It expects the
// lock.
func (s *Table) addShadows(r *Route, w wouldBe) {
	st := s.shadowOf(r.entry, w)
	if st == nil {
		return
	}
	r.shadow = w.Binding
	n := len(w.rules) + 1
	plans := make([]Plan, 0, len(r.plans)*n)
	for i := range r.plans {
		for j := range n {
			p := r.plans[i]
			p.addShadow(s.shadowPlan(r.entry, st, w, j, &p, false))
			plans = append(plans, p)
		}
	}
	r.plans = plans
}

func (p *Plan) addShadow(would *Plan) { p.Would, p.Shadow = would, &would.Plan }

// shadowPlan makes the plan that decides beside another by the settings at a place. It expects the lock.
func (s *Table) shadowPlan(e *entry, st *state, w wouldBe, j int, beside *Plan, opaque bool) *Plan {
	of := s.bindings[w.Key()].would()
	under := entry{pod: e.pod, state: st}
	p := under.plan(w.Binding, of, j, opaque)
	is, would := beside.Settings, p.Settings
	if is.Breaker != nil && reflect.DeepEqual(is.Breaker, would.Breaker) {
		p.Breaker, p.Alike.Breaker = nil, true
	}
	if a := would.Timeouts.Adaptive; a.On() && a == is.Timeouts.Adaptive {
		p.Adaptive, p.Alike.Adaptive = beside.Adaptive, true
	}
	if h := would.Retry.Hedging; h.Percentile > 0 && h.Percentile == is.Retry.Hedging.Percentile {
		p.Hedge.Latency, p.Alike.Latency = beside.Hedge.Latency, true
	}
	if f := would.Fallback; f != nil && f.Destination != nil { // which is not called: that it would be is what is said
		p.Fallback = &call.Fallback{On: f.On, Plan: &call.Plan{Settings: would, Random: p.Random}}
	}
	p.alikeGates(beside)
	p.recorder, p.policy = w.recorder, w.ID()
	return &p
}

// alikeGates leaves out the gates that the plan has like the one beside it.
func (p *Plan) alikeGates(beside *Plan) {
	var own []call.Gate
	var names []Detail
	for i, name := range p.gateNames {
		if at := beside.gateLike(p, name); at >= 0 {
			p.Alike.Gates |= 1 << at
			continue
		}
		own, names = append(own, p.Gates[i]), append(names, name)
	}
	p.Gates, p.gateNames = own, names
}

// gateLike returns the place of the gate of a name, if the plan has one that is as p's; or else -1.
func (p *Plan) gateLike(o *Plan, name Detail) int {
	for i := range p.gateNames {
		if p.gateNames[i] != name {
			continue
		}
		if name == DetailRateLimit && reflect.DeepEqual(p.Settings.RateLimit, o.Settings.RateLimit) ||
			name == DetailConcurrency && reflect.DeepEqual(p.Settings.Concurrency, o.Settings.Concurrency) {
			return i
		}
	}
	return -1
}

// DryRun is what a dry run would have done with a call.
type DryRun struct {
	// Looked: there was one that looked at the call.
	Looked bool
	Policy policy.ID
	Would  call.Would
	// After is how long the call had lasted when it would have done it.
	After time.Duration
	// Limit is the one that had passed, if time had.
	Limit call.Limit
	// Detail names the limit on calls that would have rejected it.
	Detail Detail
}

// DryRunOf tells what the dry run would have done with a call that has ended, and has it counted.
func (p *Plan) DryRunOf(c *call.Call) (d DryRun) {
	w := p.Would
	if w == nil {
		return d
	}
	d.Looked, d.Policy = true, w.policy
	if v, ok := c.Divergence(); ok {
		d.Would, d.After, d.Limit = v.Would, v.After, v.Limit
		if v.Would == call.WouldLimit {
			d.Detail = w.Refusal(&v.Outcome)
		}
	}
	w.recorder.DryRunDone(d.Would)
	return d
}
