package call

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

func TestFinishedEndsWhatWaited(t *testing.T) {
	for name, tc := range map[string]struct {
		end    End
		counts bool
	}{
		"a good status in the trailers": {End{GRPCStatus: 0}, false},
		"a bad one":                     {End{GRPCStatus: 14}, true},
		"one that is the caller's":      {End{GRPCStatus: 5}, false},
		"cut by the upstream":           {End{Truncated: true, GRPCStatus: -1}, true},
		"cut by the client":             {End{Truncated: true, ClientGone: true, GRPCStatus: -1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, breaking)
			r.plan.Settings.Breaker.ConsecutiveFailures = 1
			r.plan = planFor(r.plan.Settings)
			r.begin(Request{})
			r.want(r.head(at(ms), Response{Status: 200, GRPCStatus: -1, GRPCPending: true}), Forward)
			if o := r.finished(at(2*ms), tc.end); o.Truncated != tc.end.Truncated || o.Took != ms {
				t.Errorf("%+v", o)
			}
			if opened := r.plan.Breaker.Status(at(2*ms)).State == resilience.Open; opened != tc.counts {
				t.Errorf("counts as a failure: %v, want %v", opened, tc.counts)
			}
		})
	}
}

// What the head said stays: an HTTP/1 response that breaks off later is not counted again.
func TestRule22_ATruncatedResponseWasAnswered(t *testing.T) {
	r := newRig(t, breaking)
	for range 3 {
		r.begin(Request{})
		r.want(r.respond(0, 200), Forward)
		r.finished(t0, End{Truncated: true, GRPCStatus: -1})
	}
	if s := r.plan.Breaker.Status(t0); s.State != resilience.Closed {
		t.Errorf("the breaker is %v", s.State)
	}
}

func TestFinishedOnlyOnceAndOnlyAfterForward(t *testing.T) {
	r := newRig(t, nil)
	r.begin(Request{})
	r.finished(t0, End{Truncated: true})
	r.want(r.respond(0, 200), Forward)
	r.finished(t0, End{})
	if o := r.finished(t0, End{Truncated: true}); o.Truncated {
		t.Error("an end before the call's, or after it, counts")
	}
}
