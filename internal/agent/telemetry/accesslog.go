package telemetry

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/logs"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// defaultLinesPerSecond bounds the log: a failing upstream under load must not fill the node's disk.
	defaultLinesPerSecond = 1000
	// maxQueued lines wait for the writer; more are dropped and counted.
	maxQueued = 4096
)

// AccessLogOptions configure an AccessLog. Writer is required.
type AccessLogOptions struct {
	// Writer takes one JSON object per line.
	Writer io.Writer
	// LinesPerSecond bounds the log; 0 means 1,000.
	LinesPerSecond int
	// Pod returns namespace/name for a UID, and what the pod belongs to, as policy.Owner shows it; empty: not known, which leaves the UID in the
	// log. Nil: nothing is known of any.
	Pod func(uid string) (name, workload string)
	// Exporter takes the lines too; nil: nobody else does.
	Exporter *logs.Exporter
}

// AccessLog writes one line per call that its policy wants logged. The path of a call copies a few fields into a queue; a
// goroutine of its own writes. What does not fit the queue or the rate is dropped and counted.
type AccessLog struct {
	// immutable
	out   *slog.Logger
	limit uint64
	pod   func(uid string) (name, workload string)
	queue chan *line
	spare sync.Pool
	// exporter takes each line too; nil: nobody else does.
	exporter *logs.Exporter

	// atomic
	second  atomic.Uint64 // second<<32 | lines in it
	written atomic.Uint64
	dropped atomic.Uint64
}

// line is one call, copied. Long values are cut.
type line struct {
	at        time.Time
	recorder  *recorder
	outcome   call.Outcome
	took      time.Duration
	pod, rule string
	original  netip.AddrPort
	truncated bool
	grpc      bool
	watched   bool
	detail    routes.Detail
	dryRun    routes.DryRun
	trace     tracing.TraceID
	// memory of their own, used again
	method, host, path []byte
	attempts           []routes.Attempt
}

// What is logged of a request at most.
const (
	maxMethod = 16
	maxHost   = 128
	maxPath   = 256
)

// NewAccessLog returns a log that writes while Run runs.
func NewAccessLog(o AccessLogOptions) (*AccessLog, error) {
	if o.Writer == nil {
		return nil, errors.New("access log: no writer")
	}
	l := &AccessLog{
		out: slog.New(slog.NewJSONHandler(o.Writer, nil)), limit: uint64(o.LinesPerSecond), pod: o.Pod, exporter: o.Exporter,
		queue: make(chan *line, maxQueued), spare: sync.Pool{New: func() any { return new(line) }},
	}
	if l.limit == 0 {
		l.limit = defaultLinesPerSecond
	}
	return l, nil
}

// wanted reports whether the policy asks for a line about the call.
func wanted(e *routes.Exchange) bool {
	switch e.AccessLog {
	case policy.AccessLogAll:
		return true
	case policy.AccessLogErrors:
		return e.Outcome.Truncated || !good(e.Outcome.Decision) || e.DryRun.Would != call.WouldSame
	case policy.AccessLogOff:
	}
	return false
}

// write queues a line for a call.
func (l *AccessLog) write(r *recorder, e *routes.Exchange) {
	n := l.begin()
	if n == nil {
		return
	}
	n.recorder, n.outcome, n.took = r, e.Outcome, e.Took
	n.pod, n.rule, n.original, n.truncated, n.detail = e.Pod, e.Rule, e.Original, e.Outcome.Truncated, e.Detail
	n.grpc, n.watched, n.dryRun, n.trace = e.GRPC, e.Watched, e.DryRun, e.TraceID
	n.attempts = append(n.attempts[:0], e.Attempts...)
	l.end(n, e.Method, e.Host, e.Path)
}

// refuse queues a line for a request that was refused. No policy decides whether it is logged, since none may govern it.
func (l *AccessLog) refuse(r *drive.Refused) {
	n := l.begin()
	if n == nil {
		return
	}
	n.pod, n.original, n.outcome.Status, n.detail = r.Pod, r.Original, r.Status, routes.Detail(r.Reason)
	l.end(n, r.Method, r.Host, r.Path)
}

// begin returns an empty line, or nil when the queue or the rate allows no more.
func (l *AccessLog) begin() *line {
	now := time.Now()
	if !l.admit(now) {
		l.dropped.Add(1)
		return nil
	}
	n := l.spare.Get().(*line)
	n.at = now
	return n
}

func (l *AccessLog) end(n *line, method, host, path []byte) {
	n.method = appendCut(n.method[:0], method, maxMethod)
	n.host = appendCut(n.host[:0], routes.ShownHost(host), maxHost)
	n.path = appendCut(n.path[:0], routes.ShownPath(path), maxPath)
	select {
	case l.queue <- n:
	default:
		l.spare.Put(n)
		l.dropped.Add(1)
	}
}

// admit reports whether one more line may be written in this second, and counts it.
func (l *AccessLog) admit(now time.Time) bool {
	second := uint64(now.Unix()) & (1<<32 - 1)
	for {
		old := l.second.Load()
		next := second<<32 | 1
		if old>>32 == second {
			next = old + 1
		}
		if next&(1<<32-1) > l.limit {
			return false
		}
		if l.second.CompareAndSwap(old, next) {
			return true
		}
	}
}

// Run writes lines until ctx ends, and then those still queued.
func (l *AccessLog) Run(ctx context.Context) error {
	if l.exporter == nil {
		l.work(ctx)
		return nil
	}
	exporting, end := context.WithCancel(context.WithoutCancel(ctx)) // it ends when it has the last line
	exported := make(chan error, 1)
	go func() { exported <- l.exporter.Run(exporting) }()
	l.work(ctx)
	end()
	return <-exported
}

func (l *AccessLog) work(ctx context.Context) {
	for {
		select {
		case n := <-l.queue:
			l.put(n)
		case <-ctx.Done():
			for len(l.queue) > 0 {
				l.put(<-l.queue)
			}
			return
		}
	}
}

// put writes one line. Query strings, header fields and bodies are never logged: they hold secrets.
func (l *AccessLog) put(n *line) {
	attrs := append(l.caller(n.pod),
		slog.String("method", string(n.method)), slog.String("host", string(n.host)),
		slog.String("path", string(n.path)), slog.String("to", n.original.String()), slog.Int("status", n.outcome.Status),
	)
	if n.recorder != nil {
		attrs = n.appendCall(attrs)
	} else {
		attrs = append(attrs, slog.String("kind", "malformed_request"))
	}
	if n.detail != routes.NoDetail {
		attrs = append(attrs, slog.String("detail", string(n.detail)))
	}
	r := slog.NewRecord(n.at, slog.LevelInfo, "call", 0)
	r.AddAttrs(attrs...)
	if err := l.out.Handler().Handle(context.Background(), r); err != nil {
		l.dropped.Add(1)
	} else {
		l.written.Add(1)
	}
	if l.exporter != nil {
		l.exporter.Line(logs.Line{At: n.at, Trace: [16]byte(n.trace), Attrs: attrs})
	}
	*n = line{method: n.method, host: n.host, path: n.path, attempts: n.attempts[:0]}
	l.spare.Put(n)
}

// caller says whose call it is.
func (l *AccessLog) caller(uid string) []slog.Attr {
	name, workload := "", ""
	if l.pod != nil {
		name, workload = l.pod(uid)
	}
	out := []slog.Attr{slog.String("pod", cmp.Or(name, uid))}
	if workload != "" {
		out = append(out, slog.String("workload", workload))
	}
	return out
}

// appendCall appends what is known of a call that was governed.
func (n *line) appendCall(to []slog.Attr) []slog.Attr {
	o := &n.outcome
	to = append(to,
		slog.String("policy", n.recorder.key.policy.String()), slog.String("target", n.recorder.key.target),
		slog.String("kind", kindName(o.Kind)), slog.String("retry_decision", o.Decision.String()),
		slog.Int("tries", o.Attempts), slog.String("head", seconds(o.Took)), slog.String("dur", seconds(n.took)),
	)
	if o.Cause != o.Kind {
		to = append(to, slog.String("cause", kindName(o.Cause)))
	}
	if o.Fallback != call.NoFallback {
		to = append(to, slog.String("fallback", o.Fallback.String()))
	}
	if f := o.Faults; f.Any() {
		to = append(to, slog.Any("faults", faultsLine{f.Delays, f.Responses, f.Resets}))
	}
	if n.rule != "" {
		to = append(to, slog.String("rule", n.rule))
	}
	if n.dryRun.Would != call.WouldSame {
		to = append(to, slog.Any("dryRun", dryRunLine{
			n.dryRun.Policy.String(), n.dryRun.Would.String(), seconds(n.dryRun.After), n.dryRun.Detail,
		}))
	}
	if n.trace != (tracing.TraceID{}) {
		to = append(to, slog.String("traceId", n.trace.String()))
	}
	if n.watched {
		to = append(to, slog.Bool("watched", true))
	}
	if n.truncated {
		to = append(to, slog.Bool("truncated", true))
	}
	if n.grpc {
		to = append(to, slog.String("grpcStatus", grpcLabel(grpcResult(o.GRPCStatus))))
	}
	return n.appendAttempts(to)
}

// appendAttempts appends what is known of the call's attempts.
func (n *line) appendAttempts(to []slog.Attr) []slog.Attr {
	if last := len(n.attempts) - 1; last >= 0 {
		to = append(to, slog.String("peer", n.attempts[last].Peer.String()), slog.Bool("reused", n.attempts[last].Reused))
	}
	if len(n.attempts) > 1 {
		to = append(to, slog.Any("tried", n.tried()))
	}
	return to
}

// faultsLine is what a line says of the faults that a policy injected into a call.
type faultsLine struct {
	Delays    uint8 `json:"delays,omitempty"`
	Responses uint8 `json:"responses,omitempty"`
	Resets    uint8 `json:"resets,omitempty"`
}

// tried is what a line says of several attempts.
func (n *line) tried() []attemptLine {
	out := make([]attemptLine, len(n.attempts))
	for i := range n.attempts {
		out[i] = lineOf(&n.attempts[i])
	}
	return out
}

// attemptLine is what a line says of one attempt.
type attemptLine struct {
	Peer   string        `json:"peer"`
	Start  string        `json:"start"`
	Result string        `json:"result"`
	Detail routes.Detail `json:"detail,omitempty"`
}

// dryRunLine is what a line says of what a dry run would have done.
type dryRunLine struct {
	Policy string        `json:"policy"`
	Would  string        `json:"would"`
	After  string        `json:"after"`
	Detail routes.Detail `json:"detail,omitempty"`
}

func lineOf(t *routes.Attempt) attemptLine {
	result := kindName(t.Kind)
	switch {
	case t.Kind != call.OK:
	case t.GRPC:
		result = t.GRPCStatus.String()
	default:
		result = strconv.Itoa(t.Status)
	}
	return attemptLine{Peer: t.Peer.String(), Start: t.Start.String(), Result: result, Detail: t.Detail}
}

// kindName is how lines name a kind: an upstream's response is not called ok, since it may report an error.
func kindName(k call.Kind) string {
	if k == call.OK {
		return "response"
	}
	return k.String()
}

// seconds shows a duration to the microsecond.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

func appendCut(to, b []byte, most int) []byte { return append(to, b[:min(len(b), most)]...) }
