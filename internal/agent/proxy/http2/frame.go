package http2

import "strconv"

// Type is a frame type of RFC 9113 section 6.
type Type uint8

// The frame types of RFC 9113 section 6.
const (
	Data Type = iota
	Headers
	Priority
	RSTStream
	SettingsFrame
	PushPromise
	Ping
	GoAway
	WindowUpdate
	Continuation
)

var typeNames = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
	"CONTINUATION"}

// String is the name that RFC 9113 gives the type, or its number.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	// FrameHeaderLen is how long the header of a frame is.
	FrameHeaderLen = 9
	// MaxStream is the largest identifier of a stream.
	MaxStream = 1<<31 - 1
	// MaxFrame is the largest frame that is taken, the value of SETTINGS_MAX_FRAME_SIZE unless one is sent, which is not done: larger
	// frames only make other streams wait.
	MaxFrame = 16 << 10
	// Preface is what a client sends first (RFC 9113 section 3.4).
	Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// Frame is what Parser.Next found: a frame, a piece of a DATA frame, or a header block with all its frames.
type Frame struct {
	Type Type
	// Ack: this SETTINGS or PING answers one of ours.
	Ack bool
	// EndStream: nothing follows from the peer on the stream. For DATA it comes with the last piece of the frame.
	EndStream bool
	// First: this is the first piece of a DATA frame, or any other frame.
	First bool
	// Stream is 0 for frames that concern the connection.
	Stream uint32
	// Payload is without padding: the bytes of a piece of DATA, the whole header block of HEADERS, the parameters of SETTINGS, the 8
	// bytes of PING, the debug data of GOAWAY; nothing for other types. It is valid until the next call to Next, or until the bytes
	// that were given to Next change.
	Payload []byte
	// Length is that of the frame on the wire, without its header; for a header block, of all its frames together.
	Length uint32
	// Flow is how many bytes of the windows this piece of DATA takes, the padding included (RFC 9113 section 6.9.1).
	Flow uint32
	// Increment of WINDOW_UPDATE.
	Increment uint32
	// LastStream of GOAWAY.
	LastStream uint32
	// Code of RST_STREAM and GOAWAY.
	Code Code
}
