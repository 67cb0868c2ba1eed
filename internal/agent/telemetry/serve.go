package telemetry

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"reflect"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fairlead.dev/fairlead/internal/liveapi"
)

// HandlerOptions configure Handler.
type HandlerOptions struct {
	// Meter is what /metrics shows, beside the Go runtime and the process.
	Meter *Meter
	// Live returns what is wrong with the process for good, so that the kubelet restarts it; nil if nothing is. A nil Live means that nothing ever is.
	Live func() error
	// Ready says what is missing before the agent enforces. Nil means nothing is.
	Ready func() error
	// Config is what /debug/config shows as JSON; it must hold no secrets. Nil means there is no such page.
	Config func() any
	// Endpoints is what /debug/endpoints shows, likewise.
	Endpoints func() any
	// Pages are those of the live API, by their paths.
	Pages map[string]http.HandlerFunc
	// Profiling adds /debug/pprof.
	Profiling bool
}

// Handler returns the agent's own pages: /metrics, /healthz, /readyz, /debug/config, /debug/endpoints, the live API and, where wished, /debug/pprof. Those under /debug are
// for the agent's own pod, which is where port-forwarding comes from: every pod of the cluster reaches the port, and what is in force on
// a node would show all the namespaces that have pods there.
func Handler(o HandlerOptions) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		NewCollector(o.Meter), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", liveapi.ForAnybody(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP))
	mux.Handle("GET /healthz", check(o.Live))
	mux.Handle("GET /readyz", check(o.Ready))
	if o.Config != nil {
		mux.Handle("GET /debug/config", liveapi.Within(config(o.Config)))
	}
	if o.Endpoints != nil {
		mux.Handle("GET /debug/endpoints", liveapi.Within(config(o.Endpoints)))
	}
	for path, page := range o.Pages {
		mux.Handle("GET "+path, liveapi.Within(page))
	}
	if o.Profiling {
		mux.HandleFunc("/debug/pprof/", liveapi.Within(pprof.Index))
		mux.HandleFunc("/debug/pprof/cmdline", liveapi.Within(pprof.Cmdline))
		mux.HandleFunc("/debug/pprof/profile", liveapi.Within(pprof.Profile))
		mux.HandleFunc("/debug/pprof/symbol", liveapi.Within(pprof.Symbol))
		mux.HandleFunc("/debug/pprof/trace", liveapi.Within(pprof.Trace))
	}
	return mux, nil
}

// check answers 200 while ask finds nothing wrong, 503 with the reason otherwise.
func check(ask func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if ask != nil {
			if err := ask(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // the prober is gone if this fails
	}
}

// config shows what is in force, to one reader at a time: it is as large as all the node's policies.
func config(read func() any) http.HandlerFunc {
	turn := make(chan struct{}, 1)
	return func(w http.ResponseWriter, _ *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			http.Error(w, "somebody else is reading", http.StatusServiceUnavailable)
			return
		}
		body, err := json.MarshalIndent(readable(reflect.ValueOf(read())), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // the reader is gone if this fails
	}
}
