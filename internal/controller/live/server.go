package live

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// Options are what is answered from. Inventory may be nil.
type Options struct {
	Store     *distribute.Store
	Inventory *inventory.Store
	Changes   *changes.Log
	// ServiceAt returns the Service of an address, as namespace/name:port; empty: there is none.
	ServiceAt func(netip.AddrPort) string
	// HasBreaker reports whether calls under a policy come under circuit breakers, as its status has it.
	HasBreaker func(policy.ID) bool
	// EgressExpires returns when the egress CA that signs ends, in Unix seconds; 0: there is none.
	EgressExpires func() int64
}

var (
	errNotLeading  = errors.New("this replica does not lead, and so hears of no agent: ask the other one")
	errNoInventory = errors.New("no inventory is kept: the manager runs with --inventory-flows=0")
)

// Handler returns the pages.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	for path, page := range map[string]http.HandlerFunc{
		liveapi.InventoryPath: o.inventory, liveapi.TrafficPath: o.traffic, liveapi.NodesPath: o.nodes, liveapi.ChangesPath: o.changes,
		liveapi.ManagerPath: o.manager,
	} {
		mux.Handle("GET "+path, liveapi.Within(o.leading(liveapi.InTurn(page))))
	}
	return mux
}

// leading answers on the replica that leads.
func (o *Options) leading(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !o.Store.Serves() {
			liveapi.Refuse(w, http.StatusServiceUnavailable, errNotLeading)
			return
		}
		page(w, r)
	}
}

// refused answers a query that means nothing.
func refused(w http.ResponseWriter, q *liveapi.Query) bool {
	if err := q.Err(); err != nil {
		liveapi.Refuse(w, http.StatusBadRequest, err)
		return true
	}
	return false
}

func (o *Options) traffic(w http.ResponseWriter, r *http.Request) {
	q := liveapi.ParseQuery(r, "policy")
	if refused(w, q) {
		return
	}
	ids, now := o.Store.Policies(), time.Now()
	if want := q.Text("policy"); want != "" {
		ids = slices.DeleteFunc(ids, func(id policy.ID) bool { return id.String() != want })
	}
	all := []liveapi.Traffic{}
	for _, id := range ids {
		f := o.Store.Traffic(id)
		for i := range f.Targets {
			all = append(all, trafficOf(id, &f.Targets[i]))
		}
	}
	liveapi.Answer(w, liveapi.List[liveapi.Traffic]{At: now, Items: all})
}

func trafficOf(id policy.ID, f *distribute.TargetFigures) liveapi.Traffic {
	t := liveapi.Traffic{
		Policy: id.String(), Target: f.Target, PerSecond: f.PerSecond, Calls: f.Counts.Requests, Successes: f.Counts.Successes, Retries: f.Counts.Retries,
		BreakersOpen: f.Breakers.Open, BreakersHalfOpen: f.Breakers.HalfOpen, BreakerSeconds: f.Breakers.For.Seconds(),
		Ejected: f.Ejected, Connections: f.Connections,
	}
	t.P50Seconds, t.P99Seconds = quantiles(&f.Latency)
	return t
}

func quantiles(l *policy.Latency) (p50, p99 float64) {
	a, _ := l.Quantile(0.5)
	b, _ := l.Quantile(0.99)
	return a.Seconds(), b.Seconds()
}

func (o *Options) nodes(w http.ResponseWriter, r *http.Request) {
	q := liveapi.ParseQuery(r)
	if refused(w, q) {
		return
	}
	now := time.Now()
	all := []liveapi.Node{}
	for _, n := range o.Store.NodeStates() {
		of := liveapi.Node{Node: n.Name, Agents: []liveapi.AgentState{}, Pods: n.Pods, NotProgrammed: n.NotProgrammed}
		for _, a := range n.Agents {
			state := liveapi.AgentState{PodUID: a.PodUID, Version: a.Version}
			for f := range a.Missing.All() {
				state.Missing = append(state.Missing, f.String())
			}
			of.Agents = append(of.Agents, state)
		}
		all = append(all, of)
	}
	liveapi.Answer(w, liveapi.List[liveapi.Node]{At: now, Items: all})
}

func (o *Options) manager(w http.ResponseWriter, r *http.Request) {
	if refused(w, liveapi.ParseQuery(r)) {
		return
	}
	s := liveapi.ManagerState{At: time.Now()}
	if at := o.EgressExpires(); at != 0 {
		s.EgressCAExpires = time.Unix(at, 0).UTC()
	}
	liveapi.Answer(w, s)
}

// maxChanges is how many changes are answered at most.
const maxChanges = 4096

func (o *Options) changes(w http.ResponseWriter, r *http.Request) {
	q := liveapi.ParseQuery(r, "since", "policy", "target", "node", "kind", "limit")
	since := q.Duration("since", time.Hour, time.Second, 7*24*time.Hour)
	limit := q.Int("limit", 200, 1, maxChanges)
	if refused(w, q) {
		return
	}
	now := time.Now()
	id, target, node, kind := q.Text("policy"), q.Text("target"), q.Text("node"), q.Text("kind")
	items := o.Changes.Since(now.Add(-since), limit, func(c *liveapi.Change) bool {
		return (id == "" || c.Policy == id) && (target == "" || c.Target == target) && (node == "" || c.Node == node) && (kind == "" || strings.EqualFold(c.Kind, kind))
	})
	liveapi.Answer(w, liveapi.List[liveapi.Change]{At: now, Items: items})
}
