package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// answerMaxForwards answers a request that must not be forwarded any more, as its final recipient (RFC 9110 section 7.6.2). It is no call:
// nothing is sent, counted or limited.
func (x *exchange) answerMaxForwards() step {
	s := x.s
	x.upload.begin(&s.in, &x.request, 0)
	keep := x.request.KeepAlive && !x.draining() && x.upload.finish()
	say := http1.NoConnOption
	switch {
	case !keep:
		say = http1.ConnClose
	case x.request.Minor == 0:
		say = http1.ConnKeepAlive
	}
	err := x.request.AnswerHere(&x.out, say)
	x.upload.replay.Release()
	s.client.Activity.RestedAt(time.Now())
	switch {
	case err != nil:
		return closeNow
	case !keep:
		return closeInStages
	}
	return nextRequest
}
