package http2

import (
	"strconv"
	"unsafe"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

const (
	// MaxList is the largest header list, decoded, as RFC 9113 section 6.5.2 counts it: names, values and 32 bytes for each field.
	MaxList = 256 << 10

	keptBytes  = 16 << 10
	keptFields = 256
)

// representation is how a field was, and is to be, spelt (RFC 7541 section 6).
type representation uint8

const (
	withIndexing representation = iota
	withoutIndexing
	neverIndexed
	dropped // it is not sent
)

// Field is a field of a Block. It is valid as long as the Block is not changed.
type Field struct {
	Name, Value []byte
	// NeverIndexed: the sender wants no compression table on the way to keep the value (RFC 7541 section 6.2.3).
	NeverIndexed bool
}

// field is where a field lies: its value is right behind its name.
type field struct {
	at, name, value uint32
	meta            meta
	as              representation
}

// Block is a decoded header block: the head of a request or response, or trailers, in one piece of memory that is used again. The zero
// value is empty and takes as much as MaxList. It is a route.View of a request.
type Block struct {
	bytes  []byte
	fields []field
	size   int
	limit  int

	// what was seen while the fields came in
	special  [kCookie + 1]uint16 // the first field of a kind, counted from 1
	fault    *Error              // the first one
	regular  bool                // a field that is no pseudo-header
	tooLarge bool
	blank    bool // a value begins or ends with white space
	cookies  int
	length   int64  // of content-length
	cookie   []byte // all crumbs, once they were asked for
}

// Reset empties the block. Memory beyond 16 KiB is given up.
func (b *Block) Reset() {
	*b = Block{bytes: b.bytes[:0], fields: b.fields[:0], cookie: b.cookie[:0]}
	if cap(b.bytes) > keptBytes {
		b.bytes, b.cookie = nil, nil
	}
	if cap(b.fields) > keptFields {
		b.fields = nil
	}
}

// Len is how many fields there are, pseudo-headers included.
func (b *Block) Len() int { return len(b.fields) }

// Field returns the field i in the order of arrival.
func (b *Block) Field(i int) Field {
	f := &b.fields[i]
	return Field{b.nameOf(f), b.valueOf(f), f.as == neverIndexed}
}

func (b *Block) nameOf(f *field) []byte { return b.bytes[f.at : f.at+f.name : f.at+f.name] }

func (b *Block) valueOf(f *field) []byte {
	from, to := f.at+f.name, f.at+f.name+f.value
	return b.bytes[from:to:to]
}

// Size is the size of the header list as RFC 9113 section 6.5.2 counts it.
func (b *Block) Size() int { return b.size }

// Memory is how many bytes the block keeps.
func (b *Block) Memory() int {
	return cap(b.bytes) + cap(b.cookie) + cap(b.fields)*int(unsafe.Sizeof(field{}))
}

// Add adds a field or pseudo-header at the end, to make a head of our own. The name is in lower case.
func (b *Block) Add(name, value string) {
	at := len(b.bytes)
	b.bytes = append(append(b.bytes, name...), value...)
	b.added(at, len(name))
}

// AddStatus adds :status.
func (b *Block) AddStatus(status int) {
	at := len(b.bytes)
	b.bytes = strconv.AppendInt(append(b.bytes, ":status"...), int64(status), 10)
	b.added(at, len(":status"))
}

func (b *Block) added(at, name int) {
	m := metaOfName(b.bytes[at:at+name]).withValue(b.bytes[at:at+name], b.bytes[at+name:])
	b.size += len(b.bytes) - at + perEntry
	b.commit(at, name, m, withIndexing)
}

// fits makes place for a field of n bytes in the list, if there is.
func (b *Block) fits(n int) bool {
	b.size += n + perEntry
	b.tooLarge = b.tooLarge || b.size > b.limit
	return !b.tooLarge
}

// commit makes the bytes behind at a field.
func (b *Block) commit(at, name int, m meta, as representation) {
	b.fields = append(b.fields, field{uint32(at), uint32(name), uint32(len(b.bytes) - at - name), m, as})
	if m.fault != 0 {
		b.failed(m.fault)
	}
	if m.kind == kOther || m.kind == kSecret {
		b.regular = true
		return
	}
	b.understand(m.kind, b.bytes[at+name:])
}

func (b *Block) failed(f fault) {
	if f&faultName != 0 {
		b.setError(ErrFieldName)
	}
	if f&faultValue != 0 {
		b.setError(ErrFieldValue)
	}
	b.blank = b.blank || f&faultBlank != 0
}

func (b *Block) setError(e *Error) {
	if b.fault == nil {
		b.fault = e
	}
}

// understand takes in a field that the codec knows, the last one.
func (b *Block) understand(k known, value []byte) {
	if k > pseudos {
		b.regular = true
	}
	switch k {
	case kPseudoUnknown:
		b.setError(ErrPseudoUnknown)
		return
	case kConnection:
		b.setError(ErrConnectionField)
		return
	case kTE:
		if !syntax.EqualFold(value, "trailers") {
			b.setError(ErrTE)
		}
	case kCookie:
		b.cookies++
	case kContentLength:
		n, ok := syntax.ParseLength(value)
		if !ok || b.special[k] != 0 && n != b.length {
			b.setError(ErrContentLength)
		}
		b.length = n
	case kHost:
		if b.special[k] != 0 {
			b.setError(ErrHostsDiffer)
		}
	default: // a pseudo-header
		switch {
		case b.regular:
			b.setError(ErrPseudoOrder)
		case b.special[k] != 0:
			b.setError(ErrPseudoTwice)
		}
	}
	if b.special[k] == 0 {
		b.special[k] = uint16(len(b.fields))
	}
}

// trim removes white space around values. RFC 9113 section 8.2.1 has it that there is none; in responses, where senders are known to
// leave it and clients not to mind, it is mended.
func (b *Block) trim() {
	for i := range b.fields {
		f := &b.fields[i]
		if f.meta.fault&faultBlank == 0 {
			continue
		}
		name, value := b.nameOf(f), b.valueOf(f)
		for len(value) > 0 && blank(value[0]) {
			value, f.at = value[1:], f.at+1
		}
		for len(value) > 0 && blank(value[len(value)-1]) {
			value = value[:len(value)-1]
		}
		f.value = uint32(len(value))
		copy(b.bytes[f.at:], name) // up to its value
		f.meta = f.meta.withValue(b.nameOf(f), value)
	}
}

// drop has the fields of a kind left out when the block is sent.
func (b *Block) drop(k known) {
	if !b.has(k) {
		return
	}
	for i := range b.fields {
		if b.fields[i].meta.kind == k {
			b.fields[i].as = dropped
		}
	}
}

// value is that of the first field of a kind.
func (b *Block) value(k known) []byte {
	i := b.special[k]
	if i == 0 {
		return nil
	}
	return b.valueOf(&b.fields[i-1])
}

func (b *Block) has(k known) bool { return b.special[k] != 0 }
