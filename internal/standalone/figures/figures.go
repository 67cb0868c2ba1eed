package figures

import (
	"cmp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/policy"
)

// Reporter returns what happened since it was asked last. *telemetry.Meter is one.
type Reporter interface {
	Report() *policy.Report
}

// Row is what happened at one destination of a policy.
type Row struct {
	Policy policy.ID
	Target string
	policy.Counts
	Latency policy.Latency
	// Opened counts how often a circuit breaker has opened, Ejected how often an endpoint was put out by its own.
	Opened, Ejected uint64
	// Open counts the breakers that are open now.
	Open int
}

// Totals are what happened so far.
type Totals struct {
	// Rows are sorted by policy and destination.
	Rows []Row
	// Ungoverned counts connections that no policy governed.
	Ungoverned uint64
}

// Figures adds up reports.
type Figures struct {
	// immutable
	from     Reporter
	registry *prometheus.Registry

	mu   sync.Mutex
	rows map[key]*Row // guarded by mu
}

type key struct {
	policy string
	target string
}

// New returns Figures of a meter and what shows it to Prometheus.
func New(from Reporter, shows prometheus.Collector) (*Figures, error) {
	f := &Figures{from: from, registry: prometheus.NewRegistry(), rows: map[key]*Row{}}
	return f, f.registry.Register(shows)
}

// Totals returns what happened so far.
func (f *Figures) Totals() Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rows { // what is read anew
		r.Open, r.Opened, r.Ejected = 0, 0, 0
	}
	for _, t := range f.from.Report().Traffic {
		r := f.row(t.Policy.String(), t.Target)
		r.Policy, r.Counts, r.Open = t.Policy, r.Plus(t.Counts), t.BreakersOpen
		r.Latency.Add(&t.Latency)
	}
	out := Totals{Ungoverned: f.fromMetrics()}
	for _, r := range f.rows {
		if r.Requests+r.Opaque+r.DryRun.Calls > 0 {
			out.Rows = append(out.Rows, *r)
		}
	}
	slices.SortFunc(out.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Policy.String(), b.Policy.String()), cmp.Compare(a.Target, b.Target))
	})
	return out
}

// row returns the row of a destination, made if there is none. The caller holds mu.
func (f *Figures) row(id, target string) *Row {
	k := key{id, target}
	r := f.rows[k]
	if r == nil {
		r = &Row{Policy: policy.ParseID(id), Target: target}
		f.rows[k] = r
	}
	return r
}

// fromMetrics takes what reports do not have, and returns how many connections nothing governed. The caller holds mu.
func (f *Figures) fromMetrics() (ungoverned uint64) {
	families, _ := f.registry.Gather() // what could be gathered is there
	for _, family := range families {
		for _, m := range family.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			n := uint64(m.GetCounter().GetValue())
			switch family.GetName() {
			case "fairlead_breaker_opened_total":
				f.row(label["policy"], label["target"]).Opened += n
			case "fairlead_endpoint_ejections_total":
				f.row(label["policy"], label["target"]).Ejected += n
			case "fairlead_proxy_passed_connections_total":
				if label["reason"] == "unmatched" {
					ungoverned = n
				}
			}
		}
	}
	return ungoverned
}
