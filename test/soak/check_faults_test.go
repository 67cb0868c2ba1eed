package soak

import (
	"math/rand/v2"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	faultStatus = http.StatusTeapot // which no server answers
	faultCode   = 9                 // FAILED_PRECONDITION, the same
)

func drawFaults(rng *rand.Rand) *policy.Faults {
	f := &policy.Faults{
		Until: time.Now().Unix() + 1 + rng.Int64N(2), Percent: oneOf(rng, 100, 50), JitterPercent: oneOf(rng, 0, 50),
		Abort:  oneOf(rng, policy.NoFaultAbort, policy.FaultResponse, policy.FaultReset),
		Status: faultStatus, GRPCStatus: faultCode,
	}
	if rng.IntN(2) == 0 || f.Abort == policy.NoFaultAbort {
		f.Delay = between(rng, 30*time.Millisecond, 80*time.Millisecond)
	}
	return f
}

// checkFaults: until the time that was said faults meet the calls that they are to meet, as they are to, and none from then on.
func (r *round) checkFaults(a *account, f *policy.Faults) {
	injected := a.reason == "fault_injected"
	if injected {
		r.checkInjected(a, f)
	}
	spread := f.Delay * time.Duration(f.JitterPercent) / 100
	switch {
	case a.begun.After(f.End().Add(soon)):
		r.covers("a call had to meet no fault any more")
		if injected {
			r.blame(a, "it met a fault %v after these had ended", a.begun.Sub(f.End()))
		}
		if len(a.receipts) > 0 && f.Delay-spread > r.slack(a.begun, a.ended) && a.receipts[0].at.Sub(a.begun) > f.Delay-spread {
			r.doubt(a, "a server saw it %v after it had begun, as if faults had not ended", a.receipts[0].at.Sub(a.begun))
		}
	case a.ended.After(f.End().Add(-soon)):
	case f.Percent == 100 && f.Abort != policy.NoFaultAbort:
		if r.covers("a call had to meet a fault"); !injected {
			r.blame(a, "it met no fault, %v before these end", f.End().Sub(a.ended))
		}
	case f.Percent == 100 && len(a.receipts) > 0:
		if r.covers("a call had to be held up by a fault"); a.receipts[0].at.Sub(a.begun) < f.Delay-spread {
			r.blame(a, "a server saw it %v after it had begun, and a fault holds it up for %v", a.receipts[0].at.Sub(a.begun), f.Delay-spread)
		}
	}
}

// checkInjected: an injected answer is the one that was asked for, as late as that, and no server has seen the call.
func (r *round) checkInjected(a *account, f *policy.Faults) {
	status, code := faultStatus, faultCode
	if f.Abort == policy.FaultReset {
		status, code = http.StatusBadGateway, 14
	}
	if f.Abort == policy.NoFaultAbort {
		r.blame(a, "it was answered by a fault that only holds up")
	}
	if a.rpc {
		status = http.StatusOK
	} else {
		code = 0
	}
	if a.status != status || a.code != code || len(a.receipts) > 0 {
		r.blame(a, "a fault has answered it %d, %d, and %d servers have seen it; want %d, %d and none", a.status, a.code, len(a.receipts), status, code)
	}
	spread := f.Delay * time.Duration(f.JitterPercent) / 100
	took, slack := a.head.Sub(a.begun), r.slack(a.begun, a.head)
	if took < f.Delay-spread {
		r.blame(a, "a fault has answered it after %v, and holds calls up for %v, %v more or less", took, f.Delay, spread)
	}
	if took > f.Delay+spread+slack {
		r.doubt(a, "a fault has answered it after %v, and holds calls up for %v, %v more or less; it may be late by %v", took, f.Delay, spread, slack)
	}
}
