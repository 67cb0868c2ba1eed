package controller

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
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
