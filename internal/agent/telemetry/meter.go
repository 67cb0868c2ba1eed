package telemetry

import (
	"cmp"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/flows"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// maxShards bounds the memory of a policy's counters, 7 KiB each.
	maxShards = 4
	// lingering is how long the counters of a deleted policy stay after the last event under it: calls in flight still end.
	lingering = time.Minute
)

// Options configure a Meter.
type Options struct {
	// Logger receives the Meter's own errors; required.
	Logger *slog.Logger
	// AccessLog takes the lines that policies ask for; nil means none.
	AccessLog *AccessLog
	// Spans takes the spans of traced calls; nil: nobody wants them.
	Spans *spans.Exporter
	// Taps show calls while they end to who asks for them; nil: nobody can.
	Taps *taps.Taps
	// Inventory counts who calls what; nil: nobody does.
	Inventory *flows.Book
	// MaxSeries is how many series policies may have in metrics together; 0: DefaultMaxSeries.
	MaxSeries int
	// Callers has metrics say which workload's calls they count.
	Callers bool
}

// Sources are where a Meter reads what it does not count itself. Nil fields are left out.
type Sources struct {
	// Stats is routes.Table.Stats.
	Stats func(now time.Time, f func(routes.Stats))
	// Captures returns which pods are captured.
	Captures func() CaptureState
	// Replay is the memory of replay buffers.
	Replay *resilience.Memory
}

// CaptureState is the state of capture.
type CaptureState struct {
	// Cut counts the connections that the agent's stop has cut, Loops those that came back to the agent and were refused, both in total.
	Cut, Loops uint64
	// Refused and Shed count the connections that were refused, and cut, for overload; Shedding are the pods that it concerns.
	Refused, Shed uint64
	Shedding      int

	Captured, Uncaptured int
	// Problems names some of the uncaptured.
	Problems []policy.CaptureProblem
	// Notices name captured pods with something users should know, such as a proxy of their own (capture.ReasonForeignRedirect).
	Notices []policy.CaptureProblem
	// OlderConnections are those that no policy governs because they were made before their pod was captured, sorted by policy. Policies
	// without any are left out.
	OlderConnections []Older
}

// Older counts the open connections of captured pods to what a policy redirects that were made before they were redirected.
type Older struct {
	Policy policy.ID
	Count  int
}

// Meter counts. It implements routes.Observer, proxy.Events and prometheus.Collector, and makes the reports to the manager.
type Meter struct {
	// immutable after New
	logger *slog.Logger
	log    *AccessLog
	spans  *spans.Exporter
	taps   *taps.Taps
	flows  *flows.Book
	shards int
	// callers: they are counted apart
	callers bool
	lanes   lanes
	epoch   time.Time // what recorders count time from

	// atomic
	sources   atomic.Pointer[Sources]
	opened    atomic.Uint64
	closed    atomic.Uint64
	passed    [proxy.PassedCount]atomic.Uint64
	malformed [malformedCount]atomic.Uint64
	floods    [drive.SideCount][drive.FloodCount]atomic.Uint64
	panics    atomic.Uint64

	// reading is held from reading the gauges until they are counted: scrapes and reports overlap.
	reading sync.Mutex

	mu         sync.Mutex
	reportedAt time.Time                   // guarded by mu; when the last report was made, or the Meter
	recorders  map[recorderKey]*recorder   // guarded by mu
	series     series                      // guarded by mu
	opens      map[destinationKey]openings // guarded by mu; how often the breakers of each had opened when the gauges were last read
}

// destinationKey names one concrete destination of a policy's target.
type destinationKey struct {
	recorderKey
	destination string
	shadow      bool // what a dry run keeps of it
}

var (
	_ routes.Observer = (*Meter)(nil)
	_ proxy.Events    = (*Meter)(nil)
)

// New returns a Meter that has counted nothing.
func New(o Options) *Meter {
	now := time.Now()
	m := &Meter{logger: o.Logger, log: o.AccessLog, spans: o.Spans, taps: o.Taps, flows: o.Inventory, callers: o.Callers, shards: 1, epoch: now, reportedAt: now, recorders: map[recorderKey]*recorder{}}
	m.series.limit = max(cmp.Or(o.MaxSeries, DefaultMaxSeries)/seriesPerTarget-1, 0) // one is for the overflow
	for m.shards < min(runtime.GOMAXPROCS(0), maxShards) {
		m.shards *= 2
	}
	m.sources.Store(&Sources{})
	return m
}

// Watch sets the sources of gauges, which are made after the Meter because they may need it.
func (m *Meter) Watch(s Sources) { m.sources.Store(&s) }

// Recorder implements routes.Observer.
func (m *Meter) Recorder(id policy.ID, target string) routes.Recorder {
	k := recorderKey{id, target}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.recorders[k]
	if r == nil {
		r = m.newRecorder(k)
		r.reported = new(counts)
		if m.callers {
			r.meter = m
		}
		m.recorders[k] = r
		m.series.add(r)
	}
	r.orphaned = time.Time{}
	return r
}

func (m *Meter) newRecorder(k recorderKey) *recorder {
	return &recorder{key: k, log: m.log, spans: m.spans, taps: m.taps, flows: m.flows, epoch: m.epoch, shards: make([]shard, m.shards), lanes: &m.lanes}
}

// Installed says which policies are in force now, and for whom. The counters of others are forgotten once nothing happens under them any
// more, and their metrics with them.
func (m *Meter) Installed(now time.Time, s *policy.Snapshot) {
	live := map[recorderKey]bool{}
	for _, p := range s.Profiles {
		for i := range p.Bindings {
			b := &p.Bindings[i]
			live[recorderKey{b.Policy, b.To.String()}] = true
			for to := range b.Backups {
				live[recorderKey{b.Policy, to.String()}] = true
			}
		}
	}
	callers := m.callersOf(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, r := range m.recorders {
		r.orphan(now, !live[k])
		for c, of := range r.callers {
			of.orphan(now, !callers[c])
		}
	}
}

// orphan notes whether that for which r counts is gone. The caller holds Meter.mu.
func (r *recorder) orphan(now time.Time, gone bool) {
	switch {
	case !gone:
		r.orphaned = time.Time{}
	case r.orphaned.IsZero():
		r.orphaned = now
	}
}

// over reports whether that for which r counts is gone, everything it counted was reported and nothing is happening. The caller holds Meter.mu.
func (r *recorder) over(now time.Time, events uint64) bool {
	if r.orphaned.IsZero() {
		return false
	}
	if events != r.lastSeen {
		r.lastSeen, r.orphaned = events, now
		return false
	}
	return now.Sub(r.orphaned) >= lingering
}

// forget drops r if it is over. The caller holds mu.
func (m *Meter) forget(now time.Time, r *recorder, events uint64) {
	if r.over(now, events) {
		delete(m.recorders, r.key)
		m.series.remove(r, m.recorders)
	}
}

// Opened implements proxy.Events.
func (m *Meter) Opened() { m.opened.Add(1) }

// Closed implements proxy.Events.
func (m *Meter) Closed() { m.closed.Add(1) }

// Passed implements proxy.Events.
func (m *Meter) Passed(why proxy.Passed) { m.passed[min(why, proxy.PassedCount-1)].Add(1) }

// The statuses with which malformed requests are refused.
const (
	malformed400 = iota
	malformed414
	malformed431
	malformedOther
	malformedCount
)

var malformedCodes = [malformedCount]string{"400", "414", "431", "other"}

// Malformed implements proxy.Events.
func (m *Meter) Malformed(r drive.Refused) {
	i := malformedOther
	switch r.Status {
	case 400:
		i = malformed400
	case 414:
		i = malformed414
	case 431:
		i = malformed431
	}
	m.malformed[i].Add(1)
	if m.log != nil {
		m.log.refuse(&r)
	}
}

// Flooded implements proxy.Events.
func (m *Meter) Flooded(from drive.Side, f drive.Flood) {
	m.floods[min(from, drive.SideCount-1)][min(f, drive.FloodCount-1)].Add(1)
}

// Panicked implements proxy.Events.
func (m *Meter) Panicked(pod string, what any, stack []byte) {
	m.panics.Add(1)
	m.logger.Error("serving a connection panicked", "pod", pod, "panic", what, "stack", string(stack))
}
