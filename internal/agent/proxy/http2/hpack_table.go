package http2

// perEntry is what RFC 7541 section 4.1 adds to the lengths of name and value.
const perEntry = 32

// table is a dynamic table (RFC 7541 section 2.3.2). Names and values lie one behind the other in one piece of memory; when its end is
// reached what is left of them is moved to its front, so that each byte is moved once at most. It grows with use.
type table struct {
	size, max int

	bytes []byte
	base  uint32 // the position of bytes[0]; positions and sequence numbers may wrap around

	ring        []entry // its length is a power of two
	first, next uint32  // sequence numbers: of the oldest entry, and of the next one
}

// entry is one of a table's.
type entry struct {
	pos         uint32
	name, value uint32 // lengths
	meta        meta
}

func (t *table) len() int { return int(t.next - t.first) }

// at returns the entry that was added i entries before the newest.
func (t *table) at(i int) *entry { return t.entry(t.next - 1 - uint32(i)) }

func (t *table) entry(sequence uint32) *entry { return &t.ring[sequence&uint32(len(t.ring)-1)] }

func (t *table) nameOf(e *entry) []byte {
	from := e.pos - t.base
	return t.bytes[from : from+e.name]
}

func (t *table) valueOf(e *entry) []byte {
	from := e.pos - t.base + e.name
	return t.bytes[from : from+e.value]
}

// setMax evicts what is too much.
func (t *table) setMax(n int) {
	t.max = n
	t.evict(n)
}

func (t *table) evict(to int) {
	for t.size > to {
		e := t.entry(t.first)
		t.size -= int(e.name+e.value) + perEntry
		t.first++
	}
}

// add adds an entry and says whether it fits: one that is larger than the table empties it (RFC 7541 section 4.4).
func (t *table) add(name, value []byte, m meta) bool {
	n := len(name) + len(value)
	if n+perEntry > t.max {
		t.evict(0)
		return false
	}
	t.evict(t.max - n - perEntry)
	if len(t.bytes)+n > cap(t.bytes) {
		t.makeRoom(n)
	}
	if t.len() == len(t.ring) {
		t.growRing()
	}
	*t.entry(t.next) = entry{t.base + uint32(len(t.bytes)), uint32(len(name)), uint32(len(value)), m}
	t.bytes = append(append(t.bytes, name...), value...)
	t.size += n + perEntry
	t.next++
	return true
}

// makeRoom moves the entries that are left to the front of the memory, or to larger memory if they fill more than half of it.
func (t *table) makeRoom(n int) {
	from := len(t.bytes)
	if t.len() > 0 {
		from = int(t.entry(t.first).pos - t.base)
	}
	live := t.bytes[from:]
	to := t.bytes[:0]
	if 2*(len(live)+n) > cap(t.bytes) {
		to = make([]byte, 0, max(512, min(4*(len(live)+n), 2*t.max)))
	}
	t.bytes = append(to, live...)
	t.base += uint32(from)
}

func (t *table) growRing() {
	old := *t
	t.ring = make([]entry, max(16, 2*len(old.ring)))
	for s := t.first; s != t.next; s++ {
		*t.entry(s) = *old.entry(s)
	}
}
