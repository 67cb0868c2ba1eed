package http2

// Decoder is the HPACK context for what the peer sends (RFC 7541).
type Decoder struct {
	table   table
	allowed int // the largest size that the peer may choose
	shrink  bool
	maxList int
}

// Init makes d ready for a new connection. maxList, at most MaxList, bounds decoded header lists.
func (d *Decoder) Init(maxList uint32) {
	*d = Decoder{allowed: defaultTable, maxList: int(min(maxList, MaxList))}
	d.table.max = defaultTable
}

// SetTableSize is for when the peer has acknowledged our SETTINGS with another HeaderTableSize than before.
func (d *Decoder) SetTableSize(n uint32) {
	d.allowed = int(min(n, MaxWindow))
	// RFC 7541 section 4.2: the reduction "MUST be signaled" at the beginning of the next header block.
	d.shrink = d.shrink || d.allowed < d.table.max
}

// Decode decodes a header block into b, which is emptied before. Every block must be decoded, whether it is wanted or not, or the
// context is lost. Of a list that is too large (ErrListTooLarge, OnStream) b holds the beginning; every other error is OnConnection.
func (d *Decoder) Decode(block []byte, b *Block) error {
	b.Reset()
	b.limit = d.maxList
	rest, err := d.updates(block)
	for err == nil && len(rest) > 0 {
		c := rest[0]
		switch {
		case c > 0x80 && c < 0xff: // the index fits, as nearly always
			rest = rest[1:]
			err = d.indexed(uint64(c&0x7f), b)
		case c >= 0x80:
			var i uint64
			if i, rest, err = readInt(rest, 7); err == nil {
				err = d.indexed(i, b)
			}
		case c >= 0x40:
			rest, err = d.literal(rest, 6, withIndexing, b)
		case c >= 0x20:
			err = ErrCompression // an update of the table size behind a field
		case c >= 0x10:
			rest, err = d.literal(rest, 4, neverIndexed, b)
		default:
			rest, err = d.literal(rest, 4, withoutIndexing, b)
		}
	}
	if err == nil && b.tooLarge {
		err = ErrListTooLarge
	}
	return err
}

// updates reads the updates of the table size at the beginning of a block: at most two, since there may be the smallest one that there
// was in between and the last one (RFC 7541 section 4.2).
func (d *Decoder) updates(block []byte) ([]byte, error) {
	for n := 0; len(block) > 0 && block[0]&0xe0 == 0x20; n++ {
		size, rest, err := readInt(block, 5)
		switch {
		case err != nil:
			return nil, err
		case size > uint64(d.allowed):
			return nil, ErrTableSize
		case n == 2:
			return nil, ErrCompression
		}
		d.table.setMax(int(size))
		block = rest
		d.shrink = false
	}
	if d.shrink {
		return nil, ErrTableSize
	}
	return block, nil
}

// indexed takes in a field that is in a table as a whole.
func (d *Decoder) indexed(i uint64, b *Block) error {
	switch {
	case i == 0:
		return ErrCompression
	case i <= uint64(staticLen):
		e := &staticTable[i]
		if b.fits(len(e.name) + len(e.value)) {
			at := len(b.bytes)
			b.bytes = append(append(b.bytes, e.name...), e.value...)
			b.commit(at, len(e.name), staticMeta[i], withIndexing)
		}
		return nil
	}
	if i -= uint64(staticLen + 1); i >= uint64(d.table.len()) {
		return ErrCompression
	}
	e := d.table.at(int(i))
	if b.fits(int(e.name + e.value)) {
		at := len(b.bytes)
		from := e.pos - d.table.base
		b.bytes = append(b.bytes, d.table.bytes[from:from+e.name+e.value]...)
		b.commit(at, int(e.name), e.meta, withIndexing)
	}
	return nil
}

// literal takes in a field whose value, and perhaps name, is spelt out.
func (d *Decoder) literal(block []byte, prefix uint, r representation, b *Block) ([]byte, error) {
	i, rest, err := readInt(block, prefix)
	if err != nil {
		return nil, err
	}
	at := len(b.bytes)
	m, rest, err := d.name(i, rest, b)
	if err != nil {
		return nil, err
	}
	name := len(b.bytes) - at
	if b.bytes, rest, err = decodeString(b.bytes, rest); err != nil {
		return nil, err
	}
	m = m.withValue(b.bytes[at:at+name], b.bytes[at+name:])
	if r == withIndexing {
		d.table.add(b.bytes[at:at+name], b.bytes[at+name:], m)
	}
	if n := len(b.bytes) - at; b.fits(n) {
		b.commit(at, name, m, r)
	} else {
		b.bytes = b.bytes[:at]
	}
	return rest, nil
}

// name appends the name at index i, or the one spelt out, to the bytes of b.
func (d *Decoder) name(i uint64, rest []byte, b *Block) (meta, []byte, error) {
	switch {
	case i == 0:
		at := len(b.bytes)
		var err error
		if b.bytes, rest, err = decodeString(b.bytes, rest); err != nil {
			return meta{}, nil, err
		}
		return metaOfName(b.bytes[at:]), rest, nil
	case i <= uint64(staticLen):
		b.bytes = append(b.bytes, staticTable[i].name...)
		return staticMeta[i], rest, nil
	}
	if i -= uint64(staticLen + 1); i >= uint64(d.table.len()) {
		return meta{}, nil, ErrCompression
	}
	e := d.table.at(int(i))
	b.bytes = append(b.bytes, d.table.nameOf(e)...)
	return e.meta, rest, nil
}

// readInt reads an integer with a prefix of so many bits (RFC 7541 section 5.1).
func readInt(b []byte, prefix uint) (v uint64, rest []byte, err error) {
	most := uint64(1)<<prefix - 1
	v = uint64(b[0]) & most
	if b = b[1:]; v < most {
		return v, b, nil
	}
	for shift := uint(0); shift < 63 && len(b) > 0; shift += 7 {
		c := b[0]
		b = b[1:]
		v += uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, b, nil
		}
	}
	return 0, nil, ErrCompression
}

// decodeString reads a string (RFC 7541 section 5.2).
func decodeString(dst, b []byte) (out, rest []byte, err error) {
	if len(b) == 0 {
		return dst, nil, ErrCompression
	}
	huffman := b[0] >= 0x80
	n, b, err := readInt(b, 7)
	if err != nil || n > uint64(len(b)) {
		return dst, nil, ErrCompression
	}
	if !huffman {
		return append(dst, b[:n]...), b[n:], nil
	}
	dst, ok := appendHuffman(dst, b[:n])
	if !ok {
		return dst, nil, ErrCompression
	}
	return dst, b[n:], nil
}
