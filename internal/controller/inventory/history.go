package inventory

import "encoding/binary"

// history is a flow's slots that have ended, oldest first. Each is kept as numbers of variable length: how many slots it is after the one
// before, calls, successes, retries, how many buckets of latency have calls, and these: index and calls.
type history struct {
	b     []byte
	base  int64  // the slot that the first one counts from
	last  int64  // slot
	calls uint64 // in all of them
}

func (h *history) empty() bool { return len(h.b) == 0 }

// append adds a slot that is later than all.
func (h *history) append(slot int64, c *counts) {
	if h.empty() {
		h.base, h.last = slot, slot
	}
	h.b = binary.AppendUvarint(h.b, uint64(slot-h.last))
	h.b = binary.AppendUvarint(h.b, c.Calls)
	h.b = binary.AppendUvarint(h.b, c.Successes)
	h.b = binary.AppendUvarint(h.b, c.Retries)
	buckets := 0
	for _, n := range c.took {
		if n > 0 {
			buckets++
		}
	}
	h.b = append(h.b, byte(buckets))
	for i, n := range c.took {
		if n > 0 {
			h.b = binary.AppendUvarint(append(h.b, byte(i)), n)
		}
	}
	h.last = slot
	h.calls += c.Calls
}

// cursor reads slots.
type cursor struct {
	b    []byte
	slot int64
}

func (c *cursor) number() uint64 {
	n, size := binary.Uvarint(c.b)
	c.b = c.b[size:]
	return n
}

// next reads a slot into to, which it adds to.
func (c *cursor) next(to *counts) {
	c.slot += int64(c.number())
	to.Calls += c.number()
	to.Successes += c.number()
	to.Retries += c.number()
	buckets := int(c.b[0])
	c.b = c.b[1:]
	for range buckets {
		i := c.b[0]
		c.b = c.b[1:]
		to.took[i] += c.number()
	}
}

// each calls f with every slot, oldest first. What it is called with is valid until it returns.
func (h *history) each(f func(slot int64, c *counts)) {
	at := cursor{b: h.b, slot: h.base}
	var c counts
	for len(at.b) > 0 {
		c = counts{}
		at.next(&c)
		f(at.slot, &c)
	}
}

// trim forgets the slots up to one.
func (h *history) trim(upTo int64) {
	at := cursor{b: h.b, slot: h.base}
	for len(at.b) > 0 {
		next := at
		var c counts
		next.next(&c)
		if next.slot > upTo {
			break
		}
		at = next
		h.calls -= c.Calls
	}
	h.b, h.base = at.b, at.slot
	if len(h.b) == 0 {
		h.b = nil
	}
}
