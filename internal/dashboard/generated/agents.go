package generated

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// agent answers as the agent of a node does.
func (c *Cluster) agent(node string) http.Handler {
	mux := http.NewServeMux()
	listed(mux, liveapi.EndpointsPath, node, func(m *madePolicy) []liveapi.Endpoints { return endpointsOf(node, m) })
	listed(mux, liveapi.BreakersPath, node, func(m *madePolicy) []liveapi.Breaker { return breakersOf(node, m) })
	listed(mux, liveapi.LimitsPath, node, func(m *madePolicy) []liveapi.Limit { return limitsOf(node, m) })
	mux.HandleFunc("GET "+liveapi.TapPath, func(w http.ResponseWriter, r *http.Request) { c.tap(w, r, node) })
	c.states(mux, node)
	return withPolicies(c.byNode[node], mux)
}

type policiesKey struct{}

func withPolicies(all []*madePolicy, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(contextWith(r.Context(), all)))
	})
}

// listed answers with what there is of each of the node's policies, or of the one that is asked for.
func listed[T any](mux *http.ServeMux, path, node string, of func(*madePolicy) []T) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		want := r.URL.Query().Get("policy")
		items := []T{}
		for _, m := range policiesOf(r.Context()) {
			if want == "" || m.key == want {
				items = append(items, of(m)...)
			}
		}
		liveapi.Answer(w, liveapi.List[T]{Node: node, At: time.Now(), Items: items})
	})
}

// number is one that belongs to texts, below n.
func number(n int, texts ...string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.Join(texts, " ")))
	return int(h.Sum32()) % n
}

func endpointsOf(node string, m *madePolicy) []liveapi.Endpoints {
	if !m.service {
		return nil
	}
	of := liveapi.Endpoints{Policy: m.key, Destination: m.label}
	for i := range 5 {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(number(200, m.key)), byte(i + 1)}), 8080) //nolint:gosec // below 256
		j := liveapi.EndpointBreaker{State: "closed", Weight: 1}
		if i == 0 && m.open && number(3, node, m.key) > 0 {
			j = liveapi.EndpointBreaker{State: "open", Since: time.Now().Add(-42 * time.Second), Until: time.Now().Add(18 * time.Second), Ejections: 4}
		}
		of.Endpoints = append(of.Endpoints, liveapi.Endpoint{Address: address, Outstanding: number(9, node, m.key, fmt.Sprint(i)), Judged: []liveapi.EndpointBreaker{j}})
	}
	return []liveapi.Endpoints{of}
}

func breakersOf(node string, m *madePolicy) []liveapi.Breaker {
	b := liveapi.Breaker{Policy: m.key, Target: m.target, Destination: m.label, State: "closed", DryRun: m.dryRun}
	if (m.open || m.dryRun) && number(2, node, m.key) == 0 {
		b.State, b.Since, b.Until, b.Opened, b.OpenedBy = "open", time.Now().Add(-42*time.Second), time.Now().Add(18*time.Second), 7, "node"
	}
	return []liveapi.Breaker{b}
}

func limitsOf(node string, m *madePolicy) []liveapi.Limit {
	if !m.limited {
		return nil
	}
	share := float64(1 + number(40, node, m.key))
	return []liveapi.Limit{
		{Policy: m.key, Target: m.target, Destination: m.label, Kind: "Rate", Scope: "Cluster", Max: 500, Here: share, Waiting: number(3, node)},
		{Policy: m.key, Target: m.target, Destination: m.label, Kind: "Concurrency", Scope: "Node", Max: 100, Here: 100, InUse: number(60, node, m.key)},
	}
}

// tap writes a call now and then.
func (c *Cluster) tap(w http.ResponseWriter, r *http.Request, node string) {
	all := policiesOf(r.Context())
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, to := http.NewResponseController(w), json.NewEncoder(w)
	rnd := rand.New(rand.NewPCG(uint64(number(1<<30, node)), 1)) //nolint:gosec // no secret
	for {
		wait := time.NewTimer(time.Duration(rnd.ExpFloat64() * float64(time.Second)))
		select {
		case <-r.Context().Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		line := liveapi.TapLine{At: time.Now(), Node: node}
		if len(all) > 0 {
			line.Call = call(all[rnd.IntN(len(all))], r.URL.Query().Get("namespace"), rnd)
		}
		if to.Encode(line) != nil || out.Flush() != nil {
			return
		}
	}
}

// call is a call under a policy.
func call(m *madePolicy, namespace string, rnd *rand.Rand) *liveapi.Call {
	if namespace != "" && m.namespace != namespace {
		return nil
	}
	took := m.p50.Seconds() * (0.5 + rnd.ExpFloat64())
	c := &liveapi.Call{
		Pod: m.namespace + "/web-1", Workload: "web", Policy: m.key, Target: m.target, Method: "GET", Host: m.label, Path: "/v1/items/" + fmt.Sprint(rnd.IntN(1000)),
		To: netip.MustParseAddrPort("10.1.2.3:80"), Status: 200, Kind: "response", Decision: "not_needed", HeadSeconds: took, TookSeconds: took, Attempts: 1,
	}
	first := liveapi.Attempt{Endpoint: c.To, Start: "first", Result: "200", TookSeconds: took, Reused: true}
	c.Tried = []liveapi.Attempt{first}
	switch {
	case rnd.IntN(20) == 0:
		c.Path, c.Host, c.Detail = "/"+Script, Script, Script
	case rnd.Float64() > m.success:
		c.Attempts, c.Status, c.Decision = 2, 503, "exhausted"
		first.Result = "503"
		c.Tried = []liveapi.Attempt{first, {Endpoint: c.To, Start: "retry", Result: "503", Detail: "again", TookSeconds: took}}
	}
	return c
}
