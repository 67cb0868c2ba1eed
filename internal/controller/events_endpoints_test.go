package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// ejected has agents report that so many endpoints are out.
func (h *statusHarness) ejected(name string, n int) {
	t := distribute.TargetFigures{Target: "any", Counts: policy.Counts{Requests: 1, Successes: 1}, Ejected: n}
	h.agents.figures[policy.ParseID(name)] = distribute.Figures{AsOf: h.clock.Now(), Ejected: n, Targets: []distribute.TargetFigures{t}}
}

// endpointEvents are those about endpoints.
func (h *statusHarness) endpointEvents() (out []string) {
	for _, e := range h.events() {
		if strings.Contains(e, "Endpoints") {
			out = append(out, e)
		}
	}
	return out
}

// It is an event that endpoints are out, and that none is any more, however many of them there are.
func TestEjectedEndpointsAreAnEventOnce(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.runUntilWritten("shop/p0")
	const out, back = "Warning EndpointsEjected Endpoints are left out because they fail, of any.", "Normal EndpointsReturned No endpoint is left out any more."
	for i, s := range []struct {
		n    int
		want []string
	}{{0, nil}, {1, []string{out}}, {3, nil}, {1, nil}, {0, []string{back}}, {0, nil}, {2, []string{out}}} {
		h.ejected("shop/p0", s.n)
		h.run("shop/p0")
		if diff := cmp.Diff(s.want, h.endpointEvents()); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

func TestEndpointsThatWereOutBeforeARestartAreNoEvent(t *testing.T) {
	h := newStatusHarness(t, 1, onePolicy)
	h.server.cached["shop/p0"].Status.Destinations = []v1alpha1.DestinationStatus{{To: "any", Ejected: new(int32(2))}}
	h.run("shop/p0") // agents have not come back yet
	h.ejected("shop/p0", 1)
	h.run("shop/p0")
	if got := h.endpointEvents(); got != nil {
		t.Errorf("events %q", got)
	}
}
