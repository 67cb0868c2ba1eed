package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOthersThanThePodAreNotServed(t *testing.T) {
	for _, tc := range []struct {
		address, hosts string
		want           []string
		says           string
	}{
		{"127.0.0.1:8080", "", []string{"localhost"}, ""},
		{"[::1]:8080", "Fairlead.example.com,b.example", []string{"localhost", "fairlead.example.com", "b.example"}, ""},
		{":8080", "", nil, "the pod's loopback"},
		{"0.0.0.0:8080", "", nil, "the pod's loopback"},
		{"10.0.0.1:8080", "", nil, "the pod's loopback"},
		{"127.0.0.1", "", nil, "an address and a port"},
		{"127.0.0.1:8080", "https://fairlead.example.com", nil, "without ports or paths"},
		{"127.0.0.1:8080", "fairlead.example.com:443", nil, "without ports or paths"},
	} {
		f := flags{address: tc.address, hosts: tc.hosts}
		got, err := f.check()
		if !slices.Equal(got, tc.want) || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q %q: %v, %v", tc.address, tc.hosts, got, err)
		}
	}
}

// The pages are there, under the names that were given, whether or not the cluster can be reached; what answers kubelets answers nothing else.
func TestWhatIsServed(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	const nowhere = `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
  "contexts": [{"name": "c", "context": {"cluster": "c"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(nowhere), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	f := flags{address: "127.0.0.1:8080", hosts: "fairlead.example.com"}
	s, err := f.server()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	pages, health := listen(t), listen(t)
	go func() { ended <- s.Serve(ctx, pages) }()
	go func() { ended <- serveHealth(ctx, health) }()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range []struct {
		at         net.Listener
		host, path string
		status     int
		says       string
	}{
		{pages, "fairlead.example.com", "/", 200, "<title>"},
		{pages, "localhost:8080", "/", 200, "<title>"},
		{pages, "other.example.com", "/", 403, "host name"},
		{pages, "fairlead.example.com", "/api/v1/policies", 200, "connection refused"},
		{health, "10.0.0.1:8081", "/healthz", 200, "ok"},
		{health, "10.0.0.1:8081", "/", 404, ""},
		{health, "localhost", "/api/v1/policies", 404, ""},
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+tc.at.Addr().String()+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tc.host
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != tc.status || !strings.Contains(string(body), tc.says) {
			t.Errorf("%s%s: %d %.300s (%v)", tc.host, tc.path, res.StatusCode, body, err)
		}
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
