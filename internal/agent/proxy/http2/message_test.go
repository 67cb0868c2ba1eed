package http2

import (
	"strings"
	"testing"
)

// blockOf makes a block of fields like "name: value"; an exclamation mark in front is not sent.
func blockOf(fields ...string) *Block {
	b := new(Block)
	for _, f := range fields {
		i := strings.Index(f[1:], ": ") + 1
		b.Add(f[:i], f[i+2:])
	}
	return b
}

func request(fields ...string) *Block {
	return blockOf(append([]string{":method: GET", ":scheme: http", ":authority: a.example", ":path: /"}, fields...)...)
}

// TestRequests: what RFC 9113 section 8 says of a request's header block.
func TestRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		block *Block
		want  *Error
	}{
		"plain":                       {request(), nil},
		"te: trailers":                {request("te: trailers"), nil},
		"host as well":                {request("host: A.example"), nil},
		"host instead":                {blockOf(":method: GET", ":scheme: http", ":path: /", "host: a.example:80"), nil},
		"asterisk":                    {blockOf(":method: OPTIONS", ":scheme: http", ":authority: a", ":path: *"), nil},
		"IPv6":                        {blockOf(":method: GET", ":scheme: https", ":authority: [::1]:80", ":path: /"), nil},
		"connect":                     {blockOf(":method: CONNECT", ":authority: a:443"), nil},
		"extended connect":            {request2("CONNECT", ":protocol: websocket"), nil},
		"bytes above ASCII in a path": {blockOf(":method: GET", ":scheme: http", ":authority: a", ":path: /\xc3\xa4"), nil},
		"empty value":                 {request("x: "), nil},
		"equal lengths":               {request("content-length: 0", "content-length: 0"), nil},

		"no method":                 {blockOf(":scheme: http", ":authority: a", ":path: /"), ErrPseudoMissing},
		"no scheme":                 {blockOf(":method: GET", ":authority: a", ":path: /"), ErrPseudoMissing},
		"no path":                   {blockOf(":method: GET", ":scheme: http", ":authority: a"), ErrPseudoMissing},
		"no host":                   {blockOf(":method: GET", ":scheme: http", ":path: /"), ErrPseudoMissing},
		"empty path":                {blockOf(":method: GET", ":scheme: http", ":authority: a", ":path: "), ErrPseudoValue},
		"relative path":             {blockOf(":method: GET", ":scheme: http", ":authority: a", ":path: a"), ErrPseudoValue},
		"asterisk with GET":         {blockOf(":method: GET", ":scheme: http", ":authority: a", ":path: *"), ErrPseudoValue},
		"space in a path":           {blockOf(":method: GET", ":scheme: http", ":authority: a", ":path: /a b"), ErrPseudoValue},
		"empty authority":           {blockOf(":method: GET", ":scheme: http", ":authority: ", ":path: /"), ErrPseudoValue},
		"user in the authority":     {blockOf(":method: GET", ":scheme: http", ":authority: u@a", ":path: /"), ErrPseudoValue},
		"method of two words":       {blockOf(":method: GE T", ":scheme: http", ":authority: a", ":path: /"), ErrPseudoValue},
		"bad scheme":                {blockOf(":method: GET", ":scheme: 1http", ":authority: a", ":path: /"), ErrPseudoValue},
		"hosts differ":              {request("host: b.example"), ErrHostsDiffer},
		"two hosts":                 {request("host: a.example", "host: a.example"), ErrHostsDiffer},
		"status":                    {request2("GET", ":status: 200"), ErrPseudoUnknown},
		"unknown pseudo-header":     {request2("GET", ":x: y"), ErrPseudoUnknown},
		"pseudo-header twice":       {request2("GET", ":path: /"), ErrPseudoTwice},
		"pseudo-header behind":      {request("x: y", ":protocol: p"), ErrPseudoOrder},
		"pseudo-header behind host": {blockOf(":method: GET", ":scheme: http", "host: a", ":path: /"), ErrPseudoOrder},
		"upper case":                {request("X: y"), ErrFieldName},
		"space in a name":           {request("x y: z"), ErrFieldName},
		"NUL":                       {request("x: a\x00b"), ErrFieldValue},
		"CR":                        {request("x: a\rb"), ErrFieldValue},
		"LF":                        {request("x: a\nb, and some more"), ErrFieldValue},
		"space in front":            {request("x:  y"), ErrFieldValue},
		"space behind":              {request("x: y "), ErrFieldValue},
		"connection":                {request("connection: close"), ErrConnectionField},
		"proxy-connection":          {request("proxy-connection: x"), ErrConnectionField},
		"keep-alive":                {request("keep-alive: timeout=1"), ErrConnectionField},
		"transfer-encoding":         {request("transfer-encoding: chunked"), ErrConnectionField},
		"upgrade":                   {request("upgrade: h2c"), ErrConnectionField},
		"te other than trailers":    {request("te: gzip"), ErrTE},
		"lengths differ":            {request("content-length: 1", "content-length: 2"), ErrContentLength},
		"length not a number":       {request("content-length: +1"), ErrContentLength},
		"length too large":          {request("content-length: 99999999999999999999"), ErrContentLength},
		"connect with a path":       {blockOf(":method: CONNECT", ":authority: a:443", ":path: /"), ErrPseudoUnknown},
		"connect with a scheme":     {blockOf(":method: CONNECT", ":authority: a:443", ":scheme: http"), ErrPseudoUnknown},
		"connect without port":      {blockOf(":method: CONNECT", ":authority: a"), ErrPseudoValue},
		"connect by host":           {blockOf(":method: CONNECT", "host: a:443"), ErrPseudoMissing},
		"protocol without connect":  {request2("GET", ":protocol: websocket"), ErrConnectProtocol},
		"bad protocol":              {request2("CONNECT", ":protocol: web socket"), ErrPseudoValue},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			m.InitRequest(true)
			form, err := m.Headers(tc.block, false)
			if form != Request || !is(err, tc.want) {
				t.Errorf("form %v, %v; want %v", form, err, tc.want)
			}
		})
	}
	var m Message
	m.InitRequest(false)
	if _, err := m.Headers(request2("CONNECT", ":protocol: websocket"), false); err != ErrConnectProtocol {
		t.Errorf("extended CONNECT that was not offered: %v", err)
	}
}

func request2(method string, pseudo string) *Block {
	return blockOf(":method: "+method, ":scheme: http", ":authority: a.example", ":path: /", pseudo)
}

func is(err error, want *Error) bool {
	if want == nil {
		return err == nil
	}
	return err == want
}

// event is a step of a message: a header block or data.
type event struct {
	block *Block
	data  int
	end   bool
}

// TestMessages: order, ends, and content against content-length.
func TestMessages(t *testing.T) {
	get, head, connect := request(), request2("HEAD", ":x: y"), blockOf(":method: CONNECT", ":authority: a:443")
	ok := func(fields ...string) *Block { return blockOf(append([]string{":status: 200"}, fields...)...) }
	status := func(s string, fields ...string) *Block {
		return blockOf(append([]string{":status: " + s}, fields...)...)
	}
	trailers := blockOf("grpc-status: 0")
	for name, tc := range map[string]struct {
		to     *Block // nil: the message is a request
		events []event
		want   *Error // of the last event
	}{
		"request":                       {nil, []event{{block: request(), end: true}}, nil},
		"request with data":             {nil, []event{{block: request("content-length: 3")}, {data: 2}, {data: 1, end: true}}, nil},
		"trailers":                      {nil, []event{{block: request("content-length: 3")}, {data: 3}, {block: trailers, end: true}}, nil},
		"less than the length":          {nil, []event{{block: request("content-length: 3")}, {data: 2, end: true}}, ErrLengthMismatch},
		"less, and trailers":            {nil, []event{{block: request("content-length: 3")}, {data: 2}, {block: trailers, end: true}}, ErrLengthMismatch},
		"more than the length":          {nil, []event{{block: request("content-length: 3")}, {data: 4}}, ErrLengthMismatch},
		"length and nothing":            {nil, []event{{block: request("content-length: 3"), end: true}}, ErrLengthMismatch},
		"data first":                    {nil, []event{{data: 1}}, ErrSequence},
		"trailers that do not end":      {nil, []event{{block: request()}, {block: trailers}}, ErrSequence},
		"data behind the end":           {nil, []event{{block: request(), end: true}, {data: 1}}, ErrSequence},
		"head behind the end":           {nil, []event{{block: request(), end: true}, {block: trailers, end: true}}, ErrSequence},
		"pseudo-header in trailers":     {nil, []event{{block: request()}, {block: blockOf(":path: /"), end: true}}, ErrTrailers},
		"status in trailers":            {nil, []event{{block: request()}, {block: ok(), end: true}}, ErrTrailers},
		"length in trailers":            {nil, []event{{block: request()}, {block: blockOf("content-length: 1"), end: true}}, ErrTrailers},
		"space in a request's trailers": {nil, []event{{block: request()}, {block: blockOf("x: y "), end: true}}, ErrFieldValue},
		"tunnel":                        {nil, []event{{block: connect}, {data: 1 << 30}, {end: true}}, nil},
		"trailers of a tunnel":          {nil, []event{{block: connect}, {block: trailers, end: true}}, ErrSequence},

		"response":                    {get, []event{{block: ok("content-length: 1")}, {data: 1, end: true}}, nil},
		"interim":                     {get, []event{{block: status("103")}, {block: status("100")}, {block: ok(), end: true}}, nil},
		"interim that ends":           {get, []event{{block: status("100"), end: true}}, ErrSequence},
		"data behind interim":         {get, []event{{block: status("100")}, {data: 1}}, ErrSequence},
		"101":                         {get, []event{{block: status("101")}}, ErrSwitch},
		"no status":                   {get, []event{{block: blockOf("x: y")}}, ErrPseudoMissing},
		"two digits":                  {get, []event{{block: status("99")}}, ErrPseudoValue},
		"letters":                     {get, []event{{block: status("2xx")}}, ErrPseudoValue},
		"request's pseudo-header":     {get, []event{{block: blockOf(":status: 200", ":path: /")}}, ErrPseudoUnknown},
		"to HEAD":                     {head, []event{{block: ok("content-length: 9"), end: true}}, nil},
		"to HEAD with data":           {head, []event{{block: ok("content-length: 9")}, {data: 9}}, ErrContent},
		"204 with data":               {get, []event{{block: status("204")}, {data: 1}}, ErrContent},
		"204 with an end of its own":  {get, []event{{block: status("204")}, {end: true}}, nil},
		"304 with the length":         {get, []event{{block: status("304", "content-length: 5"), end: true}}, nil},
		"205 counts":                  {get, []event{{block: status("205", "content-length: 5"), end: true}}, ErrLengthMismatch},
		"trailers only":               {get, []event{{block: ok("grpc-status: 14"), end: true}}, nil},
		"CONNECT accepted":            {connect, []event{{block: ok("content-length: 1")}, {data: 100, end: true}}, nil},
		"CONNECT refused":             {connect, []event{{block: status("403", "content-length: 1")}, {data: 100}}, ErrLengthMismatch},
		"length in response trailers": {get, []event{{block: ok()}, {block: blockOf("content-length: 1", "x: y"), end: true}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			if tc.to == nil {
				m.InitRequest(false)
			} else {
				m.InitResponse(tc.to)
			}
			for i, e := range tc.events {
				var err error
				if e.block != nil {
					_, err = m.Headers(e.block, e.end)
				} else {
					err = m.Data(e.data, e.end)
				}
				want := tc.want
				if i < len(tc.events)-1 {
					want = nil
				}
				if !is(err, want) {
					t.Fatalf("event %d: %v, want %v", i, err, want)
				}
			}
			if last := tc.events[len(tc.events)-1]; tc.want == nil && m.Ended() != last.end {
				t.Errorf("ended: %v", m.Ended())
			}
		})
	}
}

// TestResponsesAreMended: white space around values goes, and so do fields that would deceive in trailers.
func TestResponsesAreMended(t *testing.T) {
	var m Message
	m.InitResponse(request())
	head := blockOf(":status: 200", "x-front:  \ta", "x-both:  b ", "x-none:  ")
	if _, err := m.Headers(head, false); err != nil {
		t.Fatal(err)
	}
	trailers := blockOf("content-length: 5", "grpc-message:  m", "host: b")
	if _, err := m.Headers(trailers, true); err != nil {
		t.Fatal(err)
	}
	var e Encoder
	e.Init(defaultTable)
	var d Decoder
	d.Init(MaxList)
	for _, tc := range []struct {
		b    *Block
		want string
	}{{head, ":status=200 x-front=a x-both=b x-none= "}, {trailers, "grpc-message=m "}} {
		var back Block
		if err := d.Decode(e.AppendHeaders(nil, tc.b, &Outgoing{Stream: 1, MaxFrame: MaxFrame})[FrameHeaderLen:], &back); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for i := range back.Len() {
			f := back.Field(i)
			got.WriteString(string(f.Name) + "=" + string(f.Value) + " ")
		}
		if got.String() != tc.want {
			t.Errorf("sent %q, want %q", got.String(), tc.want)
		}
	}
}
