package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// cutAtTheirEnd has a call be held up by a fault that ends long before the delay does: it goes on then, and not sooner, whatever was to become of it.
func cutAtTheirEnd(t *testing.T, w *testProxy, binding func(set func(*policy.Settings)) policy.Binding, made func() bool, arrived *atomic.Int64) {
	for name, abort := range map[string]policy.FaultAbort{"a delay": policy.NoFaultAbort, "a delay, and then a reset": policy.FaultReset} {
		t.Run(name, func(t *testing.T) {
			for {
				before := arrived.Load()
				until := time.Now().Add(2 * time.Second).Unix()
				w.install(binding(meets(policy.Faults{Until: until, Delay: farOff, Abort: abort})))
				ok := made()
				o := w.seen.lastCall(t).Outcome
				if o.Faults.Delays == 0 && ok {
					continue // it was over before the call began
				}
				if !ok || o.Faults != (call.FaultCounts{Delays: 1}) || o.Attempts != 1 || arrived.Load() != before+1 {
					t.Errorf("made: %v, %+v, %d have arrived", ok, o, arrived.Load()-before)
				}
				if early := time.Until(time.Unix(until, 0)); early > 0 {
					t.Errorf("it went on %v before the end", early)
				}
				return
			}
		})
	}
}

func TestAHeldCallGoesOnAtTheEndOfTheFaults(t *testing.T) {
	t.Parallel() // it waits
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(nil))
	cutAtTheirEnd(t, w, toAny, func() bool { res, _ := w.dial().get("/"); return res.StatusCode == 200 }, &n)
}

func TestAHeldCallGoesOnAtTheEndOfTheFaultsOverHTTP2(t *testing.T) {
	t.Parallel() // it waits
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(nil), statusFor)
	cutAtTheirEnd(t, w, toAnyH2, func() bool { res, _ := do(t, w.clientH2(), http.MethodGet, "/", ""); return res.StatusCode == 200 }, &n)
}

func TestAHeldConnectionGoesOnAtTheEndOfTheFaults(t *testing.T) {
	t.Parallel() // it waits
	w := build(t, serve(t, copying), declaredTCP(nil))
	cutAtTheirEnd(t, w, declaredTCP, func() bool { reached, _ := w.reaches(); return reached }, &w.dialer.dials)
}
