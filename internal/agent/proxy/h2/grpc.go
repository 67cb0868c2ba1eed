package h2

import (
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// Fields of gRPC calls that each attempt has of its own.
var (
	timeoutName  = []byte("grpc-timeout")
	previousName = []byte("grpc-previous-rpc-attempts")
	attemptName  = []byte(drive.AttemptField)
	parentName   = []byte(tracing.Parent)
)

// rpc is what a stream knows of a governed gRPC call.
type rpc struct {
	is       bool
	timed    bool // the client has said how long it waits
	timeout  []byte
	previous []byte
}

// describeRPC finds out whether the request is a gRPC call, and describes it as one.
func (x *stream) describeRPC(q *call.Request) {
	x.rpc.is, x.rpc.timed = false, false
	if x.plan == &x.s.driver.ungoverned || string(x.head.Method()) != http.MethodPost {
		return
	}
	kind, ok := x.head.Header("content-type")
	if !ok || !grpc.Is(kind) {
		return
	}
	x.rpc.is, q.GRPC = true, true
	if v, ok := x.head.Header("grpc-timeout"); ok {
		q.Timeout = grpc.Timeout(v)
		x.rpc.timed = q.Timeout > 0
	}
}

// outgoing returns the fields that an attempt sets: what the policy adds, its number, its span, and for a gRPC call the time that is left (rule 5) and the count
// of attempts before. A call that its client does not bound is not bounded for the server either: streams outlive timeouts.overall.
func (x *stream) outgoing(id call.AttemptID, now time.Time) []http2.Field {
	set := x.set
	if len(set) == 0 {
		set = x.field[:0]
	}
	if x.numbers {
		set = x.numbered(set, id)
	}
	if x.Traced() {
		set = x.traced(set, id)
	}
	if !x.rpc.is {
		return set
	}
	if x.rpc.timed {
		x.rpc.timeout = grpc.AppendTimeout(x.rpc.timeout[:0], x.call.Deadline().Sub(now))
		set = append(set, http2.Field{Name: timeoutName, Value: x.rpc.timeout})
	}
	if n := x.call.Retries(); n > 0 {
		own, _ := x.head.Header("grpc-previous-rpc-attempts")
		x.rpc.previous = grpc.AppendPreviousAttempts(x.rpc.previous[:0], own, n)
		set = append(set, http2.Field{Name: previousName, Value: x.rpc.previous})
	}
	return set
}

// numbered adds the number of an attempt to the fields that it sets. A call that has arrived with one goes on with that.
func (x *stream) numbered(set []http2.Field, id call.AttemptID) []http2.Field {
	number, reason := x.call.Attempt(id)
	if number == 1 && x.before > 0 {
		if _, said := x.head.Header(drive.AttemptField); said {
			return set
		}
	}
	x.mark = drive.AppendAttempt(x.mark[:0], x.before+number, reason)
	return append(set, http2.Field{Name: attemptName, Value: x.mark})
}

// traced adds the span of an attempt to the fields that it sets.
//
//go:noinline
func (x *stream) traced(set []http2.Field, id call.AttemptID) []http2.Field {
	return append(set, http2.Field{Name: parentName, Value: x.Traceparent(id)})
}

// readRPC has the attempt take in what a block of its response says for the call.
func (t *attempt) readRPC(b *http2.Block) {
	for i := range b.Len() {
		f := b.Field(i)
		t.rpc.Field(f.Name, f.Value)
	}
}

// rpcHead takes in the head of a response to a gRPC call.
func (t *attempt) rpcHead() {
	t.rpc.Begin(t.head.Status())
	t.readRPC(&t.head)
	t.rpc.EndHead(t.ended)
}

// rpcEnd takes in the end of a response to a gRPC call.
func (t *attempt) rpcEnd() {
	if t.trailing {
		t.readRPC(&t.trailers)
		t.rpc.EndTrailers()
	} else {
		t.rpc.EndWithout()
	}
}

// awaitTrailers keeps back the head just reported, for as long as the call says, since its trailers may bring a status that matters.
func (x *stream) awaitTrailers(a call.Action) {
	x.cur.silent, x.until = true, a.Until
	x.s.schedule(x)
}

// isSilent reports whether an attempt's response is being kept back.
func (x *stream) isSilent(t *attempt) bool { return t.silent && x.underWay(t) }

// messageBegun goes on with a response that was kept back, since there is more of it than a head.
func (x *stream) messageBegun(t *attempt, b *batch) {
	x.focus(t)
	t.silent = false
	a := x.call.MessageBegun(x.s.now, t.ID)
	x.attempted(t, call.OK, t.head.Status(), routes.NoDetail)
	x.s.act(x, a, b)
}

// keptLongEnough goes on with a response that was kept back, because of the time.
func (x *stream) keptLongEnough(b *batch) {
	x.cur.silent = false
	a := x.call.Timer(x.s.now)
	if a.Do == call.Forward {
		x.attempted(x.cur, call.OK, x.cur.head.Status(), routes.NoDetail)
	}
	x.s.act(x, a, b)
}

// reportRPC tells the pool of a call that turned out to be a failure after its head had been reported as a success.
func (x *stream) reportRPC(t *attempt) {
	if t.late && call.FailedGRPC(t.rpc.Status()) && t.Lease.Conn != nil {
		t.Lease.Report(x.s.now, true)
	}
}

// rejectRPC answers a gRPC call without a server: a head that ends the stream (rule 26).
func (x *stream) rejectRPC(o call.Outcome, b *batch) {
	kind, _ := x.head.Header("content-type")
	r := grpc.Reply{Status: o.GRPCStatus, ContentType: string(kind), Reason: o.Kind.Reason(), Pushback: drive.Pushback(&o)}
	p := &x.s.own
	p.Reset()
	p.AddStatus(http.StatusOK)
	for name, value := range r.Fields() {
		p.Add(name, value)
	}
	x.s.sendHeaders(x, p, true, b)
	x.answeredHere(b)
}
