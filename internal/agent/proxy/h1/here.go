package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// answerHere answers a request that must not be forwarded any more, as its final recipient (RFC 9110 section 7.6.2). It is no call:
// nothing is sent, counted or limited.
func (x *exchange) answerHere() step {
	s := x.s
	x.upload.begin(&s.line, &x.request, 0)
	keep := x.request.KeepAlive && !x.driver.draining() && x.upload.finish()
	say := http1.SayNothing
	switch {
	case !keep:
		say = http1.SayClose
	case x.request.Minor == 0:
		say = http1.SayKeepAlive
	}
	err := x.request.AnswerHere(&s.out, say)
	x.upload.replay.Release()
	s.out.until = time.Time{}
	s.client.Activity.RestedAt(time.Now())
	switch {
	case err != nil:
		return hangUp
	case !keep:
		return hangUpGently
	}
	return serveNext
}
