package subscribe

import (
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// A stop waits until the manager has acknowledged what was counted, but no longer than a second, and not at all where nothing can be sent.
func TestAStopWaitsForAcknowledgementsInVainForASecond(t *testing.T) {
	for name, c := range map[string]struct {
		streams, reports bool
		acknowledged     time.Duration // 0: never
		want             time.Duration
	}{
		"a manager that does not answer": {streams: true, reports: true, want: lastReports},
		"one that answers":               {streams: true, reports: true, acknowledged: 300 * time.Millisecond, want: 300 * time.Millisecond},
		"no manager":                     {reports: true},
		"nothing was counted":            {streams: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newReportQueue(time.Now(), nil)
				o.streaming(c.streams)
				close(o.last)
				if c.reports {
					o.add(queuedReport{at: time.Now(), body: &policy.Report{}})
				}
				if c.acknowledged > 0 {
					time.AfterFunc(c.acknowledged, func() { o.acknowledged(wire.ReportAck{Sequence: o.sequence}) })
				}
				begin := time.Now()
				o.finish(t.Context())
				if took := time.Since(begin); took != c.want {
					t.Errorf("it took %v, want %v", took, c.want)
				}
			})
		})
	}
}
