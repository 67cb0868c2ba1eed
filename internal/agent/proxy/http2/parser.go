package http2

const (
	// MaxBlock is the largest header block, compressed. It is as large as the largest header list (MaxList), since a block is rarely
	// larger than what it decodes to.
	MaxBlock = 256 << 10
	// maxContinuations is how many CONTINUATION frames a header block may have: four times as many as the largest one needs in full
	// frames (CVE-2024-27316 and its kin: endless CONTINUATION frames).
	maxContinuations = 4 * MaxBlock / MaxFrame
	// keptBlock is the largest memory that a Parser keeps between header blocks of several frames.
	keptBlock = 16 << 10
)

// Role is which side of a connection we are.
type Role uint8

const (
	// Server: the peer is a client, and sends Preface first.
	Server Role = iota
	// Client: the peer is a server.
	Client
)

// Parser takes frames out of the bytes that a peer sent. It checks all that can be known of a frame without knowing the streams.
type Parser struct {
	role    Role
	prefix  bool // the preface has passed, or there is none
	started bool // SETTINGS has come

	// the rest of a DATA frame of which a piece was handed out, or of a frame that nobody wants
	stream uint32
	left   int // bytes of data
	skip   int // bytes that nobody wants, behind them
	end    bool

	// a header block of several frames
	block    []byte
	blockOf  uint32 // the stream, or 0 if no block is open
	blockEnd bool
	blockLen uint32
	parts    int
	handed   bool // block was handed out
}

// Init makes p ready for a new connection.
func (p *Parser) Init(r Role) { *p = Parser{role: r, prefix: r == Client, block: p.block[:0]} }

// Next takes the next frame, or piece of one, from the front of buf into f. n bytes of buf are used up, whatever the outcome. If need is
// not 0, nothing was found, and buf[n:] must grow to need bytes before the next call; it is never more than FrameHeaderLen+MaxFrame.
// After an error OnConnection the Parser is of no more use; an error OnStream concerns f.Stream, and parsing can go on.
//
// CONTINUATION and PUSH_PROMISE are never handed out. PRIORITY and unknown types are, without payload, to be counted and ignored.
func (p *Parser) Next(buf []byte, f *Frame) (n, need int, err error) {
	if p.handed {
		p.forget()
	}
	if !p.prefix {
		if n, need, err = p.preface(buf); need > 0 || err != nil {
			return n, need, err
		}
	}
	for {
		if p.left > 0 {
			if n == len(buf) {
				return n, 1, nil
			}
			return n + p.piece(buf[n:], f), 0, nil
		}
		if p.skip > 0 {
			k := min(p.skip, len(buf)-n)
			n, p.skip = n+k, p.skip-k
			if p.skip > 0 {
				return n, 1, nil
			}
		}
		b := buf[n:]
		if len(b) < FrameHeaderLen {
			return n, FrameHeaderLen, nil
		}
		used, need, err := p.frame(b, f)
		n += used
		if need > 0 || err != nil || f.Type != Continuation {
			return n, need, err
		}
	}
}

// forget drops the header block that was handed out.
func (p *Parser) forget() {
	p.handed, p.blockOf = false, 0
	if cap(p.block) > keptBlock {
		p.block = nil
	}
	p.block = p.block[:0]
}

// Memory is how many bytes the Parser keeps.
func (p *Parser) Memory() int { return cap(p.block) }

// InHead reports whether a header block has begun and is not complete. rest is what Next was given last and has not used up.
func (p *Parser) InHead(rest []byte) bool {
	if p.blockOf != 0 && !p.handed {
		return true
	}
	return p.prefix && p.left == 0 && p.skip == 0 && len(rest) >= FrameHeaderLen && Type(rest[3]) == Headers
}

// preface refuses at the first byte that is wrong.
func (p *Parser) preface(buf []byte) (n, need int, err error) {
	k := min(len(buf), len(Preface))
	switch {
	case string(buf[:k]) != Preface[:k]:
		return 0, 0, ErrPreface
	case k < len(Preface):
		return 0, len(Preface), nil
	}
	p.prefix = true
	return k, 0, nil
}

// header is what the first bytes of a frame say.
type header struct {
	length int
	t      Type
	flags  byte
	stream uint32
}

func (h header) has(flag byte) bool { return h.flags&flag != 0 }

// frame takes in the frame at b, which holds its header at least. A part of an open header block leaves Continuation in f.
func (p *Parser) frame(b []byte, f *Frame) (n, need int, err error) {
	h := header{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), Type(b[3]), b[4], be32(b[5:]) & MaxStream}
	switch {
	case h.length > MaxFrame:
		return 0, 0, ErrFrameSize
	case !p.started && (h.t != SettingsFrame || h.has(flagAck)):
		// RFC 9113 section 3.4: the preface "MUST be followed by a SETTINGS frame".
		return 0, 0, ErrFirstFrame
	case (p.blockOf != 0) != (h.t == Continuation) || h.t == Continuation && h.stream != p.blockOf:
		return 0, 0, ErrContinuation
	}
	p.started = true
	*f = Frame{Type: h.t, First: true, Stream: h.stream, Length: uint32(h.length)}
	if h.t == Data {
		return p.data(h, b, f)
	}
	if h.t == Priority || h.t > Continuation {
		return p.ignored(h)
	}
	if err := checkHeader(h); err != nil {
		return 0, 0, err
	}
	if whole := FrameHeaderLen + h.length; len(b) < whole {
		return 0, whole, nil
	}
	return FrameHeaderLen + h.length, 0, p.whole(h, b[FrameHeaderLen:FrameHeaderLen+h.length], f)
}

// ignored passes over a frame that means nothing.
func (p *Parser) ignored(h header) (n, need int, err error) {
	p.skip = h.length
	switch {
	case h.t == Priority && h.stream == 0:
		return 0, 0, ErrStreamID
	case h.t == Priority && h.length != 5:
		// RFC 9113 section 6.3: "MUST be treated as a stream error".
		return FrameHeaderLen, 0, ErrStreamFrameSize
	}
	return FrameHeaderLen, 0, nil
}

// checkHeader checks what RFC 9113 section 6 says of stream and length.
func checkHeader(h header) error {
	onConnection := h.t == SettingsFrame || h.t == Ping || h.t == GoAway
	if onConnection != (h.stream == 0) && h.t != WindowUpdate {
		return ErrStreamID
	}
	var ok bool
	switch h.t {
	case PushPromise:
		// A client must not push, and a server was asked not to.
		return ErrPush
	case RSTStream, WindowUpdate:
		ok = h.length == 4
	case SettingsFrame:
		ok = h.length%settingLen == 0 && (h.length == 0 || !h.has(flagAck))
	case Ping:
		ok = h.length == 8
	case GoAway:
		ok = h.length >= 8
	default:
		ok = true
	}
	if !ok {
		return ErrFrameSize
	}
	return nil
}
