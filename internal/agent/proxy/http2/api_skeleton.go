package http2

import "time"

// MaxList is the largest header list, decoded, as RFC 9113 section 6.5.2 counts it: names, values and 32 bytes for each field.
const MaxList = 256 << 10

// Field is a field of a Block. It is valid as long as the Block is not changed.
type Field struct {
	Name, Value []byte
	// NeverIndexed: the sender wants no compression table on the way to keep the value (RFC 7541 section 6.2.3).
	NeverIndexed bool
}

// Block is a decoded header block: the head of a request or response, or trailers, in one piece of memory that is used again. The zero
// value is empty. It is a route.View of a request.
type Block struct{ todo int }

// Reset empties the block. Memory beyond 16 KiB is given up.
func (b *Block) Reset() {}

// Len is how many fields there are, pseudo-headers included.
func (b *Block) Len() int { return 0 }

// Field returns the field i in the order of arrival; pseudo-headers come first.
func (b *Block) Field(i int) Field { return Field{} }

// Size is the size of the header list as RFC 9113 section 6.5.2 counts it.
func (b *Block) Size() int { return 0 }

// Memory is how many bytes the block keeps.
func (b *Block) Memory() int { return 0 }

// Add adds a field or pseudo-header, to make an answer of our own. The name is in lower case.
func (b *Block) Add(name, value string) {}

// AddStatus adds :status.
func (b *Block) AddStatus(status int) {}

// Status is the status code of a response.
func (b *Block) Status() int { return 0 }

// Method, Scheme, Path, Authority and Protocol are pseudo-headers, empty if not there.
func (b *Block) Method() []byte { return nil }

// Scheme is :scheme.
func (b *Block) Scheme() []byte { return nil }

// Authority is :authority.
func (b *Block) Authority() []byte { return nil }

// Path is :path.
func (b *Block) Path() []byte { return nil }

// Protocol is :protocol of an extended CONNECT (RFC 8441).
func (b *Block) Protocol() []byte { return nil }

// Host implements route.View: :authority, or else host.
func (b *Block) Host() []byte { return nil }

// Target implements route.View: :path, or :authority for CONNECT.
func (b *Block) Target() []byte { return nil }

// Header implements route.View. Cookie crumbs are joined (RFC 9113 section 8.2.3).
func (b *Block) Header(lower string) ([]byte, bool) { return nil, false }

// ContentLength is the value of content-length, if there is one.
func (b *Block) ContentLength() (n int64, ok bool) { return 0, false }

// Decoder is the HPACK context for what the peer sends.
type Decoder struct{}

// Init makes d ready for a new connection; tableSize is our HeaderTableSize, which holds from the start if it is the initial one.
func (d *Decoder) Init(tableSize, maxList uint32) {}

// SetTableSize is for when the peer has acknowledged our SETTINGS with another HeaderTableSize.
func (d *Decoder) SetTableSize(n uint32) {}

// Decode decodes a header block into b, which is emptied before. Every block must be decoded, whether it is wanted or not, or the
// context is lost. Of a list that is too large (ErrListTooLarge) b holds the beginning; every other error is OnConnection.
func (d *Decoder) Decode(block []byte, b *Block) error { return nil }

// Encoder is the HPACK context for what we send.
type Encoder struct{}

// Init makes e ready for a new connection. maxTable bounds the table, whatever the peer allows.
func (e *Encoder) Init(maxTable uint32) {}

// SetTableSize takes in the peer's HeaderTableSize and Change.SmallestTable.
func (e *Encoder) SetTableSize(size, smallest uint32) {}

// Outgoing says how a Block is sent.
type Outgoing struct {
	Stream    uint32
	EndStream bool
	// MaxFrame is the peer's MaxFrameSize.
	MaxFrame uint32
	// Set are fields that take the place of those of the same names, or are added at the end. Names are in lower case.
	Set []Field
	// Without are names of fields that are left out.
	Without []string
}

// AppendHeaders appends HEADERS, and CONTINUATION as needed, with the fields of b. They must be sent in the order of the calls.
func (e *Encoder) AppendHeaders(dst []byte, b *Block, o *Outgoing) []byte { return dst }

// Form is what a header block on a stream turned out to be.
type Form uint8

// The forms.
const (
	Request  Form = iota + 1
	Interim       // a 1xx response
	Response      // the final response
	Trailers
)

// Message checks one direction of one stream: the order of its frames, the sense of its header blocks, and its content against
// content-length. Errors are OnStream.
type Message struct{}

// InitRequest prepares m for the request on a stream. extended says whether we offered extended CONNECT (RFC 8441).
func (m *Message) InitRequest(extended bool) {}

// InitResponse prepares m for the response to a request.
func (m *Message) InitResponse(to *Block) {}

// Headers takes in a header block.
func (m *Message) Headers(b *Block, endStream bool) (Form, error) { return 0, nil }

// Data takes in a piece of DATA, n bytes without padding.
func (m *Message) Data(n int, endStream bool) error { return nil }

// Ended says whether the message is complete.
func (m *Message) Ended() bool { return false }

// Tunnel says whether the content is a tunnel's: of CONNECT, extended or not, once it was answered with 2xx.
func (m *Message) Tunnel() bool { return false }

// Flood counts what a peer sends that costs us more than it costs the peer. It is told the time.
type Flood struct{}

// Init starts counting.
func (f *Flood) Init(now time.Time) {}

// Frame counts a frame that Parser.Next found. Its error is OnConnection with ENHANCE_YOUR_CALM.
func (f *Flood) Frame(fr *Frame, now time.Time) error { return nil }

// Reset counts a stream that the peer opened and that came to nothing by its doing: its RST_STREAM before our final answer was complete, or an
// error OnStream that had us reset it. Its error is that of Frame.
func (f *Flood) Reset(now time.Time) error { return nil }
