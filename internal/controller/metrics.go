package controller

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/controller/distribute"
)

// instrument registers the manager's metrics and returns what counts status writes.
func instrument(r prometheus.Registerer, x *index, store *distribute.Store) (func(writeClass), error) {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairlead_controller_status_writes_total",
		Help: "Writes of a policy's status, by what made them necessary.",
	}, []string{"class"})
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fairlead_controller_" + name, Help: help}, func() float64 { return float64(value()) })
	}
	compiles := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fairlead_controller_profiles_compiled_total",
		Help: "Profiles compiled since the start.",
	}, func() float64 { return float64(x.compileCount()) })
	for _, c := range []prometheus.Collector{
		writes, compiles,
		gauge("workloads", "Pods that a policy governs.", func() int { return store.Size().Workloads }),
		gauge("profiles", "Distinct sets of policies that govern some pod.", func() int { return store.Size().Profiles }),
		gauge("destinations", "Services that agents are told about.", func() int { return store.Size().Destinations }),
		gauge("agents", "Agents that are connected.", func() int { return store.Size().Agents }),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	counters := map[writeClass]prometheus.Counter{}
	for _, class := range []writeClass{writeEdge, writeCounts, writeTraffic} {
		counters[class] = writes.WithLabelValues(string(class))
	}
	return func(class writeClass) { counters[class].Inc() }, nil
}

func (x *index) compileCount() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.compiles
}
