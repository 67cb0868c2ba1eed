package distribute

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
)

func failing(failures ...policy.TLSFailure) policy.Traffic {
	return policy.Traffic{Policy: payments, Target: "service shop/cart", TLSFailures: failures}
}

func TestTLSFailuresAreSummedByReasonForAsLongAsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		s.observe(agentOf("n1"), report(1, failing(policy.TLSFailure{Reason: "wrong_host", Count: 2}, policy.TLSFailure{Reason: "alpn", Count: 1})))
		s.observe(agentOf("n2"), report(1, failing(policy.TLSFailure{Reason: "wrong_host", Count: 3})))
		time.Sleep(20 * time.Second) // of the bubble's clock
		s.observe(agentOf("n2"), report(2, failing(policy.TLSFailure{Reason: "wrong_host", Count: 4})))
		want := func(failures ...policy.TLSFailure) {
			t.Helper()
			targets := s.Traffic(payments).Targets
			if diff := cmp.Diff(failures, targets[0].TLSFailures); diff != "" || targets[1].TLSFailures != nil {
				t.Errorf("%s, and elsewhere %v", diff, targets[1].TLSFailures)
			}
		}
		want(policy.TLSFailure{Reason: "alpn", Count: 1}, policy.TLSFailure{Reason: "wrong_host", Count: 9})
		time.Sleep(Window - 15*time.Second)
		want(policy.TLSFailure{Reason: "wrong_host", Count: 4})
		time.Sleep(Window)
		want()
	})
}

// Agents are not trusted: whatever they call their reasons, so many are kept.
func TestReasonsOfTLSFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		for i := range 3 * policy.MaxTLSFailures {
			s.observe(agentOf("n1"), report(uint64(i+1), failing(policy.TLSFailure{Reason: fmt.Sprint("reason_", i), Count: 1})))
			time.Sleep(time.Second)
		}
		if n := len(s.Traffic(payments).Targets[0].TLSFailures); n != policy.MaxTLSFailures {
			t.Errorf("%d reasons", n)
		}
	})
}
