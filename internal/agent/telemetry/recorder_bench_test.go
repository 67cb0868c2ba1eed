package telemetry

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
)

func BenchmarkCall(b *testing.B) {
	r := testMeter().Recorder(payments, inventory)
	attempt := &routes.Attempt{Kind: call.OK, Status: 200, Took: 700 * time.Microsecond}
	e := ended(call.OK, call.NotNeeded, 200)
	b.ReportAllocs()
	for b.Loop() {
		r.AttemptDone(attempt)
		r.CallDone(e)
	}
}

func BenchmarkCallParallel(b *testing.B) {
	r := testMeter().Recorder(payments, inventory)
	b.RunParallel(func(pb *testing.PB) {
		attempt := &routes.Attempt{Kind: call.OK, Status: 200, Took: 700 * time.Microsecond}
		e := ended(call.OK, call.NotNeeded, 200)
		for pb.Next() {
			r.AttemptDone(attempt)
			r.CallDone(e)
		}
	})
}

func TestCountingDoesNotAllocate(t *testing.T) {
	r := testMeter().Recorder(payments, inventory)
	attempt := &routes.Attempt{Kind: call.OK, Status: 200, Took: time.Millisecond}
	e := ended(call.OK, call.NotNeeded, 200)
	if n := testing.AllocsPerRun(1000, func() { r.AttemptDone(attempt); r.CallDone(e); r.OpaqueOpened() }); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
}
