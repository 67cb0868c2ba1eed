package live

import (
	"net/http"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// Bounds of what can be asked for at a time.
const (
	maxFlows  = 4096
	maxPoints = 40_000 // of all flows together
)

func (o *Options) inventory(w http.ResponseWriter, r *http.Request) {
	q := liveapi.ParseQuery(r, "since", "step", "namespace", "workload", "policy", "destination", "exact", "limit", "points")
	ask := inventory.Query{
		Since:       q.Duration("since", time.Minute, inventory.Slot, inventory.Kept),
		Step:        q.Duration("step", 0, inventory.Slot, inventory.Kept).Truncate(inventory.Slot),
		Limit:       q.Int("limit", 200, 1, maxFlows),
		TotalPoints: q.Choice("points", "flows", "total") == "total",
		Wants:       wanted(q.Text("namespace"), q.Text("workload"), q.Text("policy"), q.Text("destination"), q.Bool("exact")),
	}
	if refused(w, q) {
		return
	}
	if o.Inventory == nil {
		liveapi.Refuse(w, http.StatusNotFound, errNoInventory)
		return
	}
	if ask.Step > 0 && !ask.TotalPoints {
		ask.Limit = max(min(ask.Limit, maxPoints*int(ask.Step/inventory.Slot)/int(ask.Since/inventory.Slot)), 1)
	}
	liveapi.Answer(w, o.inventoryOf(o.Inventory.Ask(time.Now(), ask)))
}

// wanted returns what chooses flows by what is asked for.
func wanted(namespace, workload, id, destination string, exact bool) func(policy.Flow) bool {
	destination = strings.ToLower(destination)
	fits := strings.Contains
	if exact {
		fits = func(is, want string) bool { return is == want || want == "" }
	}
	return func(f policy.Flow) bool {
		return (namespace == "" || f.Caller.Namespace == namespace) && (workload == "" || f.Caller.Workload == workload) &&
			(id == "" || f.Policy.String() == id) && fits(f.Destination, destination)
	}
}

func (o *Options) inventoryOf(a inventory.Answer) liveapi.Inventory {
	covered := a.To.Sub(a.From)
	out := liveapi.Inventory{
		From: a.From, To: a.To, StepSeconds: a.Step.Seconds(), Flows: make([]liveapi.Flow, 0, len(a.Rows)),
		LeftOut: a.LeftOut, LeftOutCalls: a.LeftOutCounts.Calls,
		Total: flowOf(&a.Total, covered), Other: flowOf(&a.Other, covered),
	}
	breakers := map[policy.ID]map[string]string{}
	for i := range a.Rows {
		r := &a.Rows[i]
		f := flowOf(&r.Sum, covered)
		f.Namespace, f.Workload, f.Policy, f.Target = r.Flow.Caller.Namespace, r.Flow.Caller.Workload, r.Flow.Policy.String(), r.Flow.Target
		f.Destination, f.Protocol = r.Flow.Destination, r.Flow.Protocol.String()
		if r.Flow.Address.IsValid() && o.ServiceAt != nil {
			f.Service = o.ServiceAt(r.Flow.Address)
		}
		if breakers[r.Flow.Policy] == nil {
			breakers[r.Flow.Policy] = o.breakersOf(r.Flow.Policy)
		}
		f.Breaker = breakers[r.Flow.Policy][r.Flow.Target]
		out.Flows = append(out.Flows, f)
	}
	return out
}

// breakersOf returns the worst state of a policy's breakers at each of its destinations.
func (o *Options) breakersOf(id policy.ID) map[string]string {
	out, has := map[string]string{}, o.HasBreaker(id)
	f := o.Store.Traffic(id)
	for i := range f.Targets {
		out[f.Targets[i].Target] = stateOf(&f.Targets[i].Breakers, has)
	}
	return out
}

// stateOf is the worst state of breakers; empty where the policy has none.
func stateOf(b *distribute.Breakers, has bool) string {
	switch {
	case b.Open > 0:
		return "open"
	case b.HalfOpen > 0:
		return "half_open"
	case has:
		return "closed"
	}
	return ""
}

func flowOf(s *inventory.Sum, covered time.Duration) liveapi.Flow {
	f := liveapi.Flow{Calls: s.Counts.Calls, Successes: s.Counts.Successes, Retries: s.Counts.Retries}
	if covered > 0 {
		f.PerSecond = float64(s.Counts.Calls) / covered.Seconds()
	}
	f.P50Seconds, f.P99Seconds = quantiles(&s.Latency)
	for i := range s.Points {
		p := liveapi.Point{Calls: s.Points[i].Counts.Calls, Successes: s.Points[i].Counts.Successes, Retries: s.Points[i].Counts.Retries}
		p.P50Seconds, p.P99Seconds = quantiles(&s.Points[i].Latency)
		f.Points = append(f.Points, p)
	}
	return f
}
