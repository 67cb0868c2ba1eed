package proxy

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// talk is one exchange over HTTP/2: what its ends have agreed on.
type talk struct {
	id string // in the field x-id of the request and of its response

	request  http2test.Fields
	body     []piece
	trailers http2test.Fields // nil: none
	shape    http2test.Shape

	interims      []http2test.Fields
	response      http2test.Fields
	reply         []piece
	replyTrailers http2test.Fields
	replyShape    http2test.Shape

	early   bool // the server answers as soon as it has the head
	refused bool // the server refuses it with REFUSED_STREAM when it comes for the first time
	leaves  int  // the client resets it after so many pieces; -1: it does not
	breaks  int  // the server resets it after the head and so many pieces; -1: it does not, -2: before the head
	code    http2.ErrCode
	late    uint32 // how much of a window that is closed at first is opened, once the stream is there
}

// piece is a DATA frame, if windows allow it.
type piece struct {
	data string
	pad  int // bytes of padding; -1: none, and no length of it
}

func text(pieces []piece) (s string) {
	for _, p := range pieces {
		s += p.data
	}
	return s
}

// maker makes talks of random numbers.
type maker struct {
	*rand.Rand
	// small: the windows are, so bodies are too.
	small bool
}

func (m *maker) talk() *talk {
	k := &talk{id: fmt.Sprintf("%016x", m.Uint64()), leaves: -1, breaks: -1, shape: m.shape(), replyShape: m.shape(), late: 1 + m.Uint32N(4000)}
	method := []string{"GET", "GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "QUERY", "X-" + m.token(1, 9)}[m.IntN(9)]
	if method != "GET" && method != "HEAD" || m.IntN(5) == 0 {
		k.body = m.pieces()
		if m.IntN(4) == 0 {
			k.trailers = m.fields(1 + m.IntN(4))
		}
	}
	k.request = m.head(method, k)
	for range m.IntN(6) - 3 {
		status := []string{"100", "102", "103"}[m.IntN(3)]
		k.interims = append(k.interims, append(http2test.F(":status", status), m.fields(m.IntN(4))...))
	}
	status := []int{200, 200, 200, 201, 204, 304, 404, 503, 599}[m.IntN(9)]
	if status != 204 && status != 304 && method != "HEAD" && m.IntN(5) > 0 {
		k.reply = m.pieces()
		if m.IntN(3) == 0 {
			k.replyTrailers = m.fields(1 + m.IntN(4))
		}
	}
	k.response = append(http2test.F(":status", strconv.Itoa(status), "x-id", k.id), m.fields(m.IntN(8))...)
	if n := len(text(k.reply)); len(k.reply) > 0 && m.IntN(2) == 0 {
		k.response = append(k.response, http2test.F("content-length", strconv.Itoa(n))...)
	}
	m.ends(k)
	return k
}

// ends has a talk end in another way than by coming to its end.
func (m *maker) ends(k *talk) {
	k.early = m.IntN(4) == 0
	k.code = []http2.ErrCode{http2.ErrCodeInternal, http2.ErrCodeCancel, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeHTTP11Required, 0xbad}[m.IntN(5)]
	switch m.IntN(12) {
	case 0:
		k.leaves = m.IntN(len(k.body) + 1)
	case 1:
		k.breaks = m.IntN(len(k.reply) + 1)
	case 2:
		k.breaks = -2
	case 3, 4:
		k.refused = !k.early
	}
}

// head is the header block of a request, its pseudo-header fields in any order.
func (m *maker) head(method string, k *talk) http2test.Fields {
	path := "/" + m.text(pathBytes, m.IntN(40))
	f := http2test.Head(method, "up.example", path)
	host := http2test.Fields(nil)
	if m.IntN(8) == 0 { // instead of :authority
		f, host = append(f[:2:2], f[3:]...), http2test.F("host", "up.example")
	}
	m.Shuffle(len(f), func(i, j int) { f[i], f[j] = f[j], f[i] })
	f = append(append(f, host...), http2test.F("x-id", k.id)...)
	f = append(f, m.fields(m.IntN(10))...)
	if n := len(text(k.body)); len(k.body) > 0 && m.IntN(2) == 0 {
		f = append(f, http2test.F("content-length", strconv.Itoa(n))...)
	}
	if k.trailers != nil && m.IntN(2) == 0 {
		f = append(f, http2test.F("te", "trailers")...)
	}
	for range m.IntN(8) - 5 {
		f = append(f, http2test.F("cookie", m.token(1, 9)+"="+m.token(0, 20))...)
	}
	return f
}

const (
	tokenBytes = "abcdefghijklmnopqrstuvwxyz0123456789-._~!#$%&'*+^`|"
	pathBytes  = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-._~%?=&/:@!$'()*+,;"
	// valueBytes are most bytes that a value may have inside, those beyond ASCII included.
	valueBytes = tokenBytes + " \t\"(),/:;<=>?@[\\]{}ABCXYZ\x80\xc3\xa9\xff"
)

func (m *maker) text(of string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[m.IntN(len(of))]
	}
	return string(b)
}

func (m *maker) token(least, most int) string { return m.text(tokenBytes, least+m.IntN(most-least+1)) }

// fields are header fields that mean nothing to anybody, some of them twice, some never to be indexed.
func (m *maker) fields(n int) (f http2test.Fields) {
	for range n {
		if len(f) > 0 && m.IntN(5) == 0 {
			f = append(f, f[m.IntN(len(f))])
			continue
		}
		name := "x-" + m.token(1, 12)
		if m.IntN(6) == 0 {
			name = []string{"accept", "user-agent", "content-type", "etag", "link", "via", "range", "vary"}[m.IntN(8)]
		}
		if m.IntN(10) == 0 {
			name = "!" + name
		}
		f = append(f, http2test.F(name, m.value())...)
	}
	return f
}

func (m *maker) value() string {
	n := m.IntN(30)
	switch m.IntN(30) {
	case 0:
		n = m.IntN(9000)
	case 1:
		return ""
	}
	v := []byte("v" + m.text(valueBytes, n) + "v") // without blanks at its ends
	return string(v)
}

// pieces are a body, of which pieces may be empty.
func (m *maker) pieces() (out []piece) {
	most := []int{10, 300, 3000, 40_000}[m.IntN(4)]
	if m.small {
		most = min(most, 60)
	}
	for range 1 + m.IntN(6) {
		p := piece{data: m.text(pathBytes, m.IntN(most+1)), pad: -1}
		if m.IntN(3) == 0 {
			p.pad = m.IntN(256)
		}
		out = append(out, p)
	}
	return out
}

// shape cuts a header block into frames, but not into more than parsers take.
func (m *maker) shape() http2test.Shape {
	s := http2test.Shape{}
	switch m.IntN(4) {
	case 0:
		s.Most = 400 + m.IntN(2000)
	case 1:
		s.Most = 3000
	}
	if m.IntN(4) == 0 {
		s.Pad = uint8(m.IntN(256))
	}
	s.Priority = m.IntN(5) == 0
	return s
}

// settings are what one side announces, and of that the window of its streams and how large its table may be.
func (m *maker) settings() (s []http2.Setting, window, table uint32) {
	add := func(id http2.SettingID, values ...uint32) (v uint32) {
		v = values[m.IntN(len(values))]
		s = append(s, http2.Setting{ID: id, Val: v})
		return v
	}
	if window = 65535; m.IntN(2) == 0 {
		window = add(http2.SettingInitialWindowSize, 0, 1, 63, 1000, 20_000, 1<<20, 1<<31-1)
	}
	if m.IntN(3) == 0 {
		add(http2.SettingMaxFrameSize, 16384, 16385, 1<<17, 1<<24-1)
	}
	if table = 4096; m.IntN(2) == 0 {
		table = add(http2.SettingHeaderTableSize, 0, 1, 100, 4096, 1<<16)
	}
	if m.IntN(3) == 0 {
		add(0xfa1, 7) // of a kind that nobody knows
	}
	return s, window, table
}
