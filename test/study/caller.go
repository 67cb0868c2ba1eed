package main

import (
	"fmt"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

var endpoint = netip.MustParseAddrPort("10.0.0.1:80")

// caller drives one call, as the drivers of protocols do: it reports what happens and does what the call wants done.
type caller struct {
	world *world
	node  *node
	call  call.Call
	// sent numbers the attempts of each place, so that an answer to one that was given up is recognised. A caller is used for one call after the
	// other, and its numbers grow.
	sent  [call.MaxAttempts]uint64
	armed time.Duration // when Timer is due; 0: never
	timer uint64        // numbers the times that it was set
}

// begin has a call begin on a node.
func (c *caller) begin(n *node) {
	c.node, c.armed = n, 0
	c.obey(c.call.Begin(c.world.clock.time(), &n.plan, call.Request{Method: call.Safe}))
}

// obey does what the call wants done.
func (c *caller) obey(a call.Action) {
	for id := range a.Cancel.All() {
		c.sent[id]++
	}
	switch a.Do {
	case call.StartAttempt:
		c.attempt(a.Attempt)
	case call.Continue, call.Wait:
		c.arm(a.Until)
	case call.Forward, call.ForwardKept:
		c.end(c.call.Finished(c.world.clock.time(), a.Attempt, call.End{GRPCStatus: -1}))
	case call.Reject:
		c.end(c.call.Outcome())
	case call.Park, call.AwaitTrailers, call.Respond, call.Abort, call.Inject:
		panic(fmt.Sprintf("no policy of the study asks for %d", a.Do))
	}
}

// attempt sends the request. Connecting and sending take no time.
func (c *caller) attempt(id call.AttemptID) {
	now := c.world.clock.time()
	c.call.Placed(now, id, endpoint)
	c.call.BytesAccepted(id)
	c.arm(c.call.RequestWritten(now, id).Until)
	c.sent[id]++
	sent := c.sent[id]
	c.world.record.sent(c.world.clock.now)
	c.world.upstream.send(func(status int) {
		if c.sent[id] == sent { // else nobody waits for it any more
			c.sent[id]++
			c.obey(c.call.ResponseHead(c.world.clock.time(), id, call.Response{Status: status, GRPCStatus: -1}))
		}
	})
}

// arm has Timer reported at a time.
func (c *caller) arm(until time.Time) {
	at := until.Sub(epoch)
	if until.IsZero() {
		at = 0
	}
	if at == c.armed {
		return
	}
	c.armed = at
	c.timer++
	if timer := c.timer; at > 0 {
		c.world.clock.at(at, func() {
			if c.timer == timer {
				c.armed = 0
				c.obey(c.call.Timer(c.world.clock.time()))
			}
		})
	}
}

// end notes how the call has ended, and is ready for another one.
func (c *caller) end(o call.Outcome) {
	c.arm(time.Time{})
	c.world.record.ended(c.world.clock.now, &o)
	c.world.idle = append(c.world.idle, c)
}
