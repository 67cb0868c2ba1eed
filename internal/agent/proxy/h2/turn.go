package h2

import "fairlead.dev/fairlead/internal/agent/proxy/http2"

// turnSize is how much a stream sends of what has waited for its connection before it is the next one's turn.
const turnSize = 2 * http2.MaxFrame

// turn bounds what a stream sends while several take turns. The zero value bounds nothing.
type turn struct {
	on   bool
	left int
}

func (t *turn) begin()     { t.on, t.left = true, turnSize }
func (t *turn) end()       { t.on = false }
func (t *turn) over() bool { return t.on && t.left == 0 }
func (t *turn) bound(n int) int {
	if t.on {
		return min(n, t.left)
	}
	return n
}

func (t *turn) take(n int) {
	if t.on {
		t.left -= n
	}
}
