package browser_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/assets"
	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/test/browser"
)

// wide is how most tests look at a page.
var wide = browser.View{Width: 1280, Height: 900}

// served is a dashboard, and a browser.
type served struct {
	browser       context.Context
	address       string
	axe, pictures string
}

// needed returns axe-core. Without Chromium or axe-core there is nothing to test: that fails where everything must run.
func needed(t *testing.T) string {
	t.Helper()
	axe, err := browser.Axe()
	if browser.Program() == "" || err != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatalf("chromium (%q) and axe-core (%v) are needed: make test-browser installs them", browser.Program(), err)
		}
		t.Skipf("not run: chromium (%q) and axe-core (%v) are needed: make test-browser installs them", browser.Program(), err)
	}
	return axe
}

func made(t *testing.T, size generated.Size) *generated.Cluster {
	t.Helper()
	needed(t)
	c, err := generated.New(size)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve serves a generated cluster, in which traffic goes on, until the test ends.
func serve(t *testing.T, size generated.Size) *served {
	t.Helper()
	c := made(t, size)
	until(t, c.Run)
	return serveSource(t, c.Source())
}

// until runs f until the test ends.
func until(t *testing.T, f func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
}

// serveSource serves what a source has until the test ends.
func serveSource(t *testing.T, from dashboard.Source) *served {
	t.Helper()
	axe := needed(t)
	files, err := assets.Files()
	if err != nil {
		t.Fatal(err)
	}
	s, err := dashboard.New(dashboard.Options{Source: from, Assets: files, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	until(t, func(ctx context.Context) {
		if err := s.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	b, end, err := browser.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return &served{b, "http://" + l.Addr().String() + "/secret/", axe, pictures(t)}
}

// open opens a page of the dashboard until the test ends.
func (s *served) open(t *testing.T, path string) *browser.Page {
	t.Helper()
	p, err := browser.Open(s.browser, s.address+path, wide)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// pictures is the folder for screenshots.
func pictures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
