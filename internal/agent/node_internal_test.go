package agent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/kernel"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// An agent that has just started, beside a runtime and a manager that are not there, says so, and what kernel it runs on.
func TestAnAgentSaysHowItsNodeIs(t *testing.T) {
	before := time.Now()
	a := made(t, 0)
	r, w := httptest.NewRequest(http.MethodGet, liveapi.NodePath, nil), httptest.NewRecorder()
	r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost"
	a.pages.ServeHTTP(w, r)
	var n liveapi.NodeState
	if err := json.Unmarshal(w.Body.Bytes(), &n); w.Code != http.StatusOK || err != nil {
		t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	if n.Node != "n" || n.At.Before(before) || n.Started.Before(before) || n.Started.After(n.At) || n.Version != a.client.AgentVersion() {
		t.Errorf("%+v", n)
	}
	if n.Runtime.Socket != a.opts.CRISocket || n.Runtime.Problem == "" || n.Runtime.Sandboxes != 0 {
		t.Errorf("runtime: %+v", n.Runtime)
	}
	if n.Manager.Connected || n.Manager.Source != "none" || n.Distrusts == nil || n.Issuer != nil || n.Unissued != nil {
		t.Errorf("manager: %+v, %+v", n.Manager, n)
	}
	if n.Kernel.Release == "" || n.Kernel.Problem != "" || len(n.Kernel.Features) == 0 {
		t.Errorf("kernel: %+v", n.Kernel)
	}
	for _, f := range n.Kernel.Features {
		if f.Needed && !f.Works || f.Works != (f.Problem == "") {
			t.Errorf("%+v", f)
		}
	}
}

func TestWhatTheNodeIsAskedTakesNoParameters(t *testing.T) {
	a := made(t, 0)
	r, w := httptest.NewRequest(http.MethodGet, liveapi.NodePath+"?verbose=true", nil), httptest.NewRecorder()
	r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost"
	a.pages.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatTheKernelLacksIsSaid(t *testing.T) {
	got := liveKernel(kernel.Facts{Release: "6.1", Err: http.ErrNoLocation, Features: []kernel.Feature{
		{Feature: nft.Feature{Module: "nft_redir", For: "a", Needed: true}, Loaded: true}, {Feature: nft.Feature{Module: "nft_ct", For: "b", Err: http.ErrBodyNotAllowed}},
	}})
	want := liveapi.Kernel{Release: "6.1", Problem: http.ErrNoLocation.Error(), Features: []liveapi.KernelFeature{
		{Module: "nft_redir", For: "a", Needed: true, Works: true, Loaded: true}, {Module: "nft_ct", For: "b", Problem: http.ErrBodyNotAllowed.Error()},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHowAnAgentStandsWithTheManager(t *testing.T) {
	since := time.Now()
	for _, tc := range []struct {
		state subscribe.State
		want  liveapi.Subscribed
	}{
		{subscribe.State{Connected: true, Changed: since, Source: subscribe.SourceManager}, liveapi.Subscribed{Connected: true, Since: since, Source: "manager"}},
		{subscribe.State{Changed: since, LastError: "refused", Source: subscribe.SourceDisk}, liveapi.Subscribed{Since: since, Problem: "refused", Source: "disk"}},
		{subscribe.State{}, liveapi.Subscribed{Source: "none"}},
	} {
		if diff := cmp.Diff(tc.want, liveSubscribed(tc.state)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestHowFarCapturesAre(t *testing.T) {
	for want, s := range map[liveapi.CaptureState]capture.PodState{
		liveapi.CaptureDone:      {Wanted: true, Found: true, Captured: true},
		liveapi.CaptureFailed:    {Wanted: true, Found: true, Problem: "no"},
		liveapi.CaptureBegun:     {Wanted: true, Found: true},
		liveapi.CaptureAwaited:   {Wanted: true},
		liveapi.CaptureElsewhere: {Wanted: true, Found: true, Captured: true, Superseded: true},
		liveapi.CaptureEnds:      {Found: true, Captured: false},
	} {
		s.Policies = []policy.ID{{Namespace: "shop", Name: "p"}}
		got := liveCaptures([]capture.PodState{s})[0]
		if got.State != want || got.Captured != s.Captured || len(got.Policies) != 1 || got.Policies[0] != "shop/p" {
			t.Errorf("%+v: %+v, want %s", s, got, want)
		}
	}
}

func TestPodsThatDoNotTrustAreListed(t *testing.T) {
	a := made(t, 0)
	got := a.liveDistrusts([]routes.Distrust{{Pod: "unknown", Host: "a.example", Policies: []policy.ID{{Namespace: "shop", Name: "p"}}, Ended: 3, Spared: true}})
	want := []liveapi.Distrust{{Pod: "unknown", Host: "a.example", Policies: []string{"shop/p"}, Handshakes: 3, PassedThrough: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
