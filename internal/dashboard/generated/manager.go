package generated

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/live"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// manager answers as a manager does: the inventory and the changes by the manager's own pages, and what agents would have reported to it.
func (c *Cluster) manager() http.Handler {
	store := distribute.NewStore(distribute.StoreOptions{})
	store.Serving().Start()
	real := live.Handler(live.Options{Store: store, Inventory: c.store, Changes: c.changes, HasBreaker: func(policy.ID) bool { return true }})
	mux := http.NewServeMux()
	mux.Handle("GET "+liveapi.ChangesPath, real)
	mux.HandleFunc("GET "+liveapi.InventoryPath, func(w http.ResponseWriter, r *http.Request) { c.inventory(w, r, real) })
	mux.HandleFunc("GET "+liveapi.TrafficPath, func(w http.ResponseWriter, _ *http.Request) {
		liveapi.Answer(w, liveapi.List[liveapi.Traffic]{At: time.Now(), Items: c.trafficNow()})
	})
	mux.HandleFunc("GET "+liveapi.NodesPath, func(w http.ResponseWriter, _ *http.Request) {
		liveapi.Answer(w, liveapi.List[liveapi.Node]{At: time.Now(), Items: c.nodes()})
	})
	mux.HandleFunc("GET "+liveapi.ManagerPath, func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		liveapi.Answer(w, liveapi.ManagerState{At: now, EgressCAExpires: now.AddDate(2, 0, 0)})
	})
	return mux
}

// inventory adds the states of breakers, which the store has from agents.
func (c *Cluster) inventory(w http.ResponseWriter, r *http.Request, real http.Handler) {
	got := httptest.NewRecorder()
	real.ServeHTTP(got, r)
	var i liveapi.Inventory
	if got.Code != http.StatusOK || json.Unmarshal(got.Body.Bytes(), &i) != nil {
		http.Error(w, got.Body.String(), got.Code)
		return
	}
	open := map[string]bool{}
	for _, m := range c.policies {
		open[m.key] = m.open
	}
	for j := range i.Flows {
		i.Flows[j].Breaker = "closed"
		if open[i.Flows[j].Policy] {
			i.Flows[j].Breaker = "open"
		}
	}
	liveapi.Answer(w, i)
}

func (c *Cluster) trafficNow() []liveapi.Traffic {
	all := make([]liveapi.Traffic, len(c.policies))
	for i, m := range c.policies {
		calls := uint64(max(m.rate*60, 1))
		all[i] = liveapi.Traffic{
			Policy: m.key, Target: m.target, PerSecond: m.rate, Calls: calls, Successes: uint64(float64(calls) * m.success),
			P50Seconds: m.p50.Seconds(), P99Seconds: 8 * m.p50.Seconds(), Connections: 40,
		}
		all[i].Retries = 2 * (calls - all[i].Successes)
		if m.open {
			all[i].BreakersOpen, all[i].BreakerSeconds, all[i].Ejected = 3, 42, 1
		}
	}
	return all
}

func (c *Cluster) nodes() []liveapi.Node {
	pods := map[string]int{}
	for _, p := range c.pods {
		pods[p.Spec.NodeName]++
	}
	all := make([]liveapi.Node, c.size.Nodes)
	for i := range all {
		name := NodeName(i)
		all[i] = liveapi.Node{Node: name, Pods: pods[name], Agents: []liveapi.AgentState{{PodUID: "fairlead-agent-" + name[len("node-"):], Version: "v0.9.0"}}}
		switch {
		case i == 1:
			all[i].Agents, all[i].NotProgrammed = []liveapi.AgentState{}, 1
		case i%997 == 2:
			all[i].Agents[0].Version, all[i].Agents[0].Missing = "v0.8.2", []string{"SharedLimits"}
		}
	}
	return all
}
