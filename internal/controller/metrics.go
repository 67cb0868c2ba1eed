package controller

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/liveapi"
)

// addMetrics serves metrics on every replica, bounded as an agent's are: controller-runtime's own server has whoever reaches the port keep any number of pages for as
// long as it likes.
func (m *Manager) addMetrics() error {
	if m.opts.MetricsAddress == "0" {
		return nil
	}
	srv, err := metricsServer(m.opts.MetricsAddress, m.opts.Metrics)
	if err != nil {
		return err
	}
	return m.manager.Add(srv)
}

// metricsServer returns a server that answers before caches have synced, where others wait for that: metrics of requests to the API server say why they do
// not.
func metricsServer(address string, of prometheus.Gatherer) (*manager.Server, error) {
	srv, l, err := liveapi.Listen(context.Background(), "metrics", address, metricsPages(of))
	if err != nil {
		return nil, err
	}
	return &manager.Server{Name: "metrics", Server: srv, Listener: l, ShutdownTimeout: ptr.To(time.Second)}, nil
}

func metricsPages(of prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", liveapi.ForAnybody(promhttp.HandlerFor(of, promhttp.HandlerOpts{}).ServeHTTP))
	return mux
}

// ackDurations returns the histogram of the time that agents take to acknowledge what is published.
func ackDurations() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "fairlead_controller_acknowledgement_seconds",
		Help:    "Time from the publication of a change until an agent that it concerns has put it into force and acknowledged it.",
		Buckets: []float64{0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 15, 60},
	})
}

// expiryGauge returns the gauge of when an authority ends.
func expiryGauge(authority, help string, expires func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fairlead_controller_" + authority + "_not_after_timestamp_seconds", Help: help,
	}, func() float64 { return float64(expires()) })
}

// registerMetrics registers the manager's metrics, with others that were made before, and returns what counts status writes.
func registerMetrics(r prometheus.Registerer, x *index.Index, store *distribute.Store, others ...prometheus.Collector) (func(status.Change), error) {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairlead_controller_status_writes_total",
		Help: "Writes of policies' status, by the most urgent change in them: condition, counts or traffic.",
	}, []string{"class"})
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fairlead_controller_" + name, Help: help}, func() float64 { return float64(value()) })
	}
	compiles := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fairlead_controller_profiles_compiled_total",
		Help: "Profiles compiled.",
	}, func() float64 { return float64(x.Compilations()) })
	for _, c := range append([]prometheus.Collector{
		writes, compiles,
		gauge("workloads", "Pods that at least one policy governs.", func() int { return store.Size().Workloads }),
		gauge("profiles", "Distinct sets of policies that govern pods. Each is compiled once.", func() int { return store.Size().Profiles }),
		gauge("destinations", "Services whose endpoints are distributed to agents.", func() int { return store.Size().Destinations }),
		gauge("agents", "Connected agents.", func() int { return store.Size().Agents }),
		gauge("nodes_without_agent", "Nodes with governed pods whose agent is not connected; 0 on a replica that does not lead.",
			func() int { return store.Size().WithoutAgent }),
		gauge("shared_limits", "Rate limits of policies at destinations that the cluster shares at present.", func() int { n, _ := store.LimitShares(); return n }),
		gauge("limit_shares", "Shares of them that agents have.", func() int { _, n := store.LimitShares(); return n }),
	}, others...) {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	counters := map[status.Change]prometheus.Counter{}
	for _, change := range []status.Change{status.ChangeCondition, status.ChangeCounts, status.ChangeTraffic} {
		counters[change] = writes.WithLabelValues(string(change))
	}
	return func(change status.Change) { counters[change].Inc() }, nil
}
