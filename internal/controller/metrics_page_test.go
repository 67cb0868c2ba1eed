package controller

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func TestTheRegistryIsServedAsMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(expiryGauge("ca", "When.", func() int64 { return 7 })); err != nil {
		t.Fatal(err)
	}
	pages := metricsPages(registry)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/metrics": {200, "fairlead_controller_ca_not_after_timestamp_seconds 7\n"},
		"/":        {404, ""},
	} {
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.body) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// slowCache syncs once it may.
type slowCache struct {
	cache.Cache
	waiting, may chan struct{}
}

func (slowCache) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (c slowCache) WaitForCacheSync(context.Context) bool {
	close(c.waiting)
	<-c.may
	return true
}

// While the API server does not answer, caches do not sync, and metrics say why.
func TestMetricsAreServedBeforeCachesHaveSynced(t *testing.T) {
	caches := slowCache{waiting: make(chan struct{}), may: make(chan struct{})}
	mgr, err := manager.New(&rest.Config{}, manager.Options{
		Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		NewCache: func(*rest.Config, cache.Options) (cache.Cache, error) { return caches, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := metricsServer("127.0.0.1:0", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := mgr.Add(srv); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return mgr.Start(ctx) })
	sync := sync.OnceFunc(func() { close(caches.may) })
	t.Cleanup(func() {
		sync()
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	<-caches.waiting
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + srv.Listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s, %v", resp.Status, err)
	}
}
