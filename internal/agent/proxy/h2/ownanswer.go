package h2

import (
	"net/http"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// answerOwn answers the client with the policy's own response. It is forwarded as a server's is: the client may take it slowly.
func (x *stream) answerOwn(b *batch) {
	o := x.call.Outcome()
	if why := x.plan.Refusal(&o); why != routes.NoDetail {
		x.Detail = why
	}
	a := drive.AnswerOf(x.plan.Settings.Fallback.Response, &o)
	if x.rpc.is {
		x.respondRPC(&a, o.GRPCStatus, b)
		return
	}
	t := x.ownAttempt()
	t.head.AddStatus(a.Status)
	t.head.Add("fairlead-reason", a.Reason)
	for _, h := range a.Fields {
		t.head.Add(strings.ToLower(h.Name), h.Value)
	}
	if a.HasLength() {
		t.head.Add("content-length", strconv.Itoa(len(a.Body)))
	}
	if string(x.head.Method()) != http.MethodHead {
		x.s.account.add(t.body.push([]byte(a.Body)))
	}
	x.forwardOwn(t, b)
}

// respondRPC answers a gRPC call: a head that ends the stream, of which the client takes the status.
func (x *stream) respondRPC(a *drive.OwnAnswer, status int, b *batch) {
	kind, _ := x.head.Header("content-type")
	t := x.ownAttempt()
	t.head.AddStatus(http.StatusOK)
	r := grpc.Reply{Status: status, ContentType: string(kind), Reason: a.Reason}
	for name, value := range r.Fields() {
		if name != "grpc-message" || status != 0 {
			t.head.Add(name, value)
		}
	}
	for _, h := range a.Fields {
		if name := strings.ToLower(h.Name); name != "content-type" && name != "grpc-status" && name != "grpc-message" {
			t.head.Add(name, h.Value)
		}
	}
	x.forwardOwn(t, b)
}

// ownAttempt returns what holds the response: everything else that was held has been given up.
func (x *stream) ownAttempt() *attempt {
	t := x.cur
	t.head.Reset()
	t.busy = true
	t.own, t.ended, t.trailing, t.whole, t.stopped, t.late = true, true, false, true, true, false
	t.rpc = grpc.Response{}
	return t
}

func (x *stream) forwardOwn(t *attempt, b *batch) {
	x.charge()
	x.forward(call.Action{Do: call.Forward, Attempt: t.ID}, b)
}
