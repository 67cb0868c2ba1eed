package http2

const (
	recents = 128 // how many hashes an Encoder remembers: as many as a table of the initial size has entries
	buckets = 128
)

// Encoder is the HPACK context for what we send (RFC 7541).
//
// A field is put into the dynamic table when it is met for the second time within short, so that paths, lengths and identifiers that
// differ from one request to the next do not drive out what recurs. Strings are not Huffman coded: it would cost both sides more time
// than the bytes do, and each field that recurs is one byte anyway.
type Encoder struct {
	table    table
	maxTable int

	// links: by is the sequence number of the newest entry with a hash in the bucket, older those of the one before it, by entry.
	by    [buckets]uint32
	older []uint32

	recent [recents]uint32 // hashes

	update   bool // the table size has changed, which the next block must say
	smallest int  // the smallest one since the last block
}

// Init makes e ready for a new connection. maxTable bounds the table, whatever the peer allows.
func (e *Encoder) Init(maxTable uint32) {
	*e = Encoder{maxTable: int(maxTable)}
	e.table.next, e.table.first = 1, 1 // 0 is no sequence number
	e.table.max = defaultTable
	if maxTable < defaultTable {
		e.SetTableSize(maxTable, maxTable)
	}
}

// SetTableSize takes in a peer's SETTINGS with HeaderTableSize: the size in force now, and Change.SmallestTable. The table holds it
// at once, which the peer learns with the next block.
func (e *Encoder) SetTableSize(size, smallest uint32) {
	now := min(int(size), e.maxTable)
	least := min(int(smallest), now)
	if now == e.table.max && least == now {
		return
	}
	if !e.update {
		e.update, e.smallest = true, least
	}
	e.smallest = min(e.smallest, least)
	e.table.setMax(least)
	e.table.setMax(now)
}

// Outgoing says how a Block is sent.
type Outgoing struct {
	Stream    uint32
	EndStream bool
	// MaxFrame is the peer's MaxFrameSize; less than the smallest one that there can be is taken for that.
	MaxFrame uint32
	// Set are fields that take the place of those of the same names, or are added at the end. Names are in lower case.
	Set []Field
	// Without are the names of fields that are left out.
	Without []string
	// Authority takes the place of what the block names as its host; empty: that stays.
	Authority string
}

// AppendHeaders appends HEADERS, and CONTINUATION as needed, with the fields of b. They must be sent, and in the order of the calls.
func (e *Encoder) AppendHeaders(dst []byte, b *Block, o *Outgoing) []byte {
	from := len(dst)
	dst = appendFrameHeader(dst, 0, Headers, 0, o.Stream)
	if e.update {
		dst = e.appendUpdates(dst)
	}
	edited := len(o.Set)+len(o.Without) > 0
	for i := range b.fields {
		f := &b.fields[i]
		if f.as == dropped || edited && o.replaces(b.nameOf(f)) {
			continue
		}
		value := b.valueOf(f)
		if o.Authority != "" && namesHost(b.nameOf(f)) {
			value = []byte(o.Authority)
		}
		dst = e.appendField(dst, b.nameOf(f), value, f.meta, f.as)
	}
	for _, f := range o.Set {
		as := withIndexing
		if f.NeverIndexed {
			as = neverIndexed
		}
		dst = e.appendField(dst, f.Name, f.Value, metaOfName(f.Name).withValue(f.Name, f.Value), as)
	}
	return finishHeaders(dst, from, o.Stream, o.EndStream, max(int(o.MaxFrame), MaxFrame))
}

// namesHost reports whether a field says which host a request is for (RFC 9113 section 8.3.1).
func namesHost(name []byte) bool { return string(name) == ":authority" || string(name) == "host" }

// replaces says whether a field of the block is not sent.
func (o *Outgoing) replaces(name []byte) bool {
	for i := range o.Set {
		if string(o.Set[i].Name) == string(name) {
			return true
		}
	}
	for _, w := range o.Without {
		if w == string(name) {
			return true
		}
	}
	return false
}

func (e *Encoder) appendUpdates(dst []byte) []byte {
	if e.smallest < e.table.max {
		dst = appendInt(dst, 0x20, 5, e.smallest)
	}
	e.update = false
	return appendInt(dst, 0x20, 5, e.table.max)
}

// appendField spells a field as shortly as the tables allow.
func (e *Encoder) appendField(dst, name, value []byte, m meta, as representation) []byte {
	if as == neverIndexed {
		return e.appendLiteral(dst, 0x10, 4, name, value, m)
	}
	if m.whole {
		return append(dst, 0x80|m.static)
	}
	if i := e.find(name, value, m.hash); i > 0 {
		return appendInt(dst, 0x80, 7, i)
	}
	if !e.worthwhile(m, as) {
		return e.appendLiteral(dst, 0, 4, name, value, m)
	}
	dst = e.appendLiteral(dst, 0x40, 6, name, value, m)
	e.insert(name, value, m)
	return dst
}

// worthwhile decides whether a field that is not in the table is put there. Secrets are only if their sender put them into its own table,
// since what a table holds can be found out by trying (RFC 7541 section 7.1).
func (e *Encoder) worthwhile(m meta, as representation) bool {
	if (m.kind == kSecret || m.kind == kCookie) && as != withIndexing {
		return false
	}
	r := &e.recent[m.hash%recents]
	again := *r == m.hash
	*r = m.hash
	return again
}

// find returns the index of the entry with name and value, or 0.
func (e *Encoder) find(name, value []byte, hash uint32) int {
	t := &e.table
	for s := e.by[hash%buckets]; s-t.first < t.next-t.first; s = e.older[s&uint32(len(e.older)-1)] {
		f := t.entry(s)
		if f.meta.hash == hash && int(f.name) == len(name) && string(t.valueOf(f)) == string(value) && string(t.nameOf(f)) == string(name) {
			return staticLen + int(t.next-s)
		}
	}
	return 0
}

func (e *Encoder) insert(name, value []byte, m meta) {
	if !e.table.add(name, value, m) {
		return
	}
	if len(e.older) != len(e.table.ring) {
		e.relink()
		return
	}
	e.link(e.table.next - 1)
}

// link puts an entry at the head of its bucket.
func (e *Encoder) link(s uint32) {
	bucket := &e.by[e.table.entry(s).meta.hash%buckets]
	e.older[s&uint32(len(e.older)-1)] = *bucket
	*bucket = s
}

// relink makes the links anew, for a larger ring.
func (e *Encoder) relink() {
	e.older = make([]uint32, len(e.table.ring))
	e.by = [buckets]uint32{}
	for s := e.table.first; s != e.table.next; s++ {
		e.link(s)
	}
}

// appendLiteral spells the value out, and the name if the static table does not have it.
func (e *Encoder) appendLiteral(dst []byte, pattern byte, prefix uint, name, value []byte, m meta) []byte {
	if m.static > 0 {
		dst = appendInt(dst, pattern, prefix, int(m.static))
	} else {
		dst = appendString(append(dst, pattern), name)
	}
	return appendString(dst, value)
}

// appendInt appends an integer with a prefix of so many bits (RFC 7541 section 5.1).
func appendInt(dst []byte, pattern byte, prefix uint, v int) []byte {
	most := 1<<prefix - 1
	if v < most {
		return append(dst, pattern|byte(v))
	}
	dst = append(dst, pattern|byte(most))
	for v -= most; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

func appendString(dst, s []byte) []byte { return append(appendInt(dst, 0, 7, len(s)), s...) }
