package call

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// The meaning of a server's reset is the status of a call that ends by it, and of no other: what the agent decides later has a status of its own.
func TestTheStatusOfAResetIsNotThatOfTheAgentsOwnAnswers(t *testing.T) {
	cancelled := fault{Failure{Kind: Reset, GRPCStatus: grpcCancelled}, true}
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		play   func(r *rig)
		kind   Kind
		status int
	}{
		"the reset":                            {func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, func(r *rig) { r.want(r.fails(at(ms), cancelled), Reject) }, Reset, grpcCancelled},
		"the deadline, which the server knows": {nil, func(r *rig) { r.want(r.fails(at(10*time.Second), cancelled), Reject) }, Deadline, 4},
		"the deadline, of a retry": {nil, func(r *rig) {
			r.want(r.fails(at(ms), cancelled), Wait)
			r.want(r.call.Timer(at(101*ms)), StartAttempt)
			r.placed(at(101 * ms))
			r.want(r.call.Timer(at(10*time.Second)), Reject)
		}, Deadline, 4},
		"the deadline, which the next one would pass": {nil, func(r *rig) { r.want(r.fails(at(9950*ms), cancelled), Reject) }, Deadline, 4},
		"a full queue": {nil, func(r *rig) {
			r.want(r.fails(at(ms), cancelled), Wait)
			r.want(r.call.Timer(at(101*ms)), StartAttempt)
			r.want(r.rejects(at(101*ms), Overflow), Reject)
		}, Overflow, 14},
		"the breaker, which the reset has opened": {func(s *policy.Settings) {
			breaking(s)
			s.Breaker.ConsecutiveFailures = 1
		}, func(r *rig) {
			r.want(r.fails(at(ms), cancelled), Wait)
			r.want(r.call.Timer(at(101*ms)), Reject)
		}, BreakerOpen, 14},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *policy.Settings) {
				s.Retry.Idempotency = policy.AnyMethod
				if tc.change != nil {
					tc.change(s)
				}
			})
			r.begin(rpc)
			tc.play(r)
			if o := r.call.Outcome(); !r.call.Ended() || o.Kind != tc.kind || o.GRPCStatus != tc.status {
				t.Errorf("ended as %v with status %d, want %v with %d", o.Kind, o.GRPCStatus, tc.kind, tc.status)
			}
		})
	}
}
