package call

import (
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

var (
	refusedStream = fault{Failure{Kind: RefusedStream, PeerUnprocessed: true}, true}
	leftStream    = fault{Failure{Kind: RefusedStream, PeerUnprocessed: true, PeerLeaving: true, Reused: true}, true}
)

// A connection that was kept and that its server leaves is like one that was closed: the request is made anew at once, on a fresh one, once for
// nothing, whatever the policy says of retries and methods.
func TestRule08_AConnectionThatIsLeftIsRepairedOnce(t *testing.T) {
	r := newRig(t, func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = 0, 0 })
	r.begin(Request{Method: Unsafe, HasBody: true, Refusable: true})
	if a := r.want(r.fails(t0, leftStream), StartAttempt); a.Start != Repair || !a.Fresh {
		t.Errorf("%+v", a)
	}
	r.placed(t0)
	r.want(r.fails(t0, leftStream), Reject)
	r.ended(RefusedStream, NotRetryable, 502, 2)
	if !r.call.Outcome().Unprocessed {
		t.Error("it counts as processed")
	}
}

// What a server refuses because it has too much to do is retried as the policy says: at once would be too soon.
func TestRule09_ARefusedStreamIsRetriedAsWritten(t *testing.T) {
	for name, f := range map[string]fault{
		"refused":                {Failure{Kind: RefusedStream, PeerUnprocessed: true, Reused: true}, true},
		"left, a new connection": {Failure{Kind: RefusedStream, PeerUnprocessed: true, PeerLeaving: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.begin(Request{Method: Unsafe})
			now := r.nextAttempt(r.fails(t0, f))
			now = r.nextAttempt(r.fails(now, f))
			r.want(r.fails(now, f), Reject)
			r.ended(RefusedStream, Exhausted, 502, 3)
		})
	}
}

// A call is unprocessed only if none of its attempts can have been processed.
func TestRule07_WhichCallsAreUnprocessed(t *testing.T) {
	for name, tc := range map[string]struct {
		first, last fault
		want        bool
	}{
		"refused twice":                    {refusedStream, refusedStream, true},
		"not connected, refused":           {refused, refusedStream, true},
		"not sent, refused":                {fault{Failure{Kind: Reset}, false}, refusedStream, true},
		"lost, refused":                    {sentLost, refusedStream, false},
		"timed out, refused":               {timedOut, refusedStream, false},
		"refused, lost":                    {refusedStream, sentLost, false},
		"refused behind a response's part": {refusedStream, fault{Failure{Kind: RefusedStream, PeerUnprocessed: true, ResponseStarted: true}, true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
			r.begin(Request{Method: Safe})
			now := r.nextAttempt(r.fails(t0, tc.first))
			r.want(r.fails(now, tc.last), Reject)
			if got := r.call.Outcome().Unprocessed; got != tc.want {
				t.Errorf("unprocessed: %v", got)
			}
		})
	}
	t.Run("behind a real response", func(t *testing.T) {
		r := newRig(t, func(s *policy.Settings) { s.Retry.MaxRetries = 1 })
		r.begin(Request{Method: Safe})
		now := r.nextAttempt(r.respond(0, 503))
		r.call.KeptLost()
		r.want(r.fails(now, refusedStream), Reject)
		if r.call.Outcome().Unprocessed {
			t.Error("it counts as unprocessed")
		}
	})
}
