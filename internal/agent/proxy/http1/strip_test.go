package http1

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRule28_TrailersThatEndHere(t *testing.T) {
	const body = "3\r\nabc\r\n0\r\nX: 1\r\nKept: 2\r\nx: 3\r\nT: 4\r\n\r\n"
	for name, tc := range map[string]struct{ fields, want string }{
		"none is named": {
			"Trailer: X\r\n", "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
		},
		"named by Connection": {
			"Trailer: X\r\nConnection: x\r\n", "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nKept: 2\r\nT: 4\r\n\r\n",
		},
		"all but one are named": {
			"Connection: X, T\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nKept: 2\r\n\r\n",
		},
		"Connection names Trailer": {
			"Trailer: X\r\nConnection: Trailer\r\n", "Transfer-Encoding: chunked\r\n\r\n" + body,
		},
		"Connection names framing": {
			"Connection: transfer-encoding\r\n", "Transfer-Encoding: chunked\r\n\r\n" + body,
		},
	} {
		t.Run(name, func(t *testing.T) {
			const get, ok = "POST / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\nHost: a\r\n"
			in := tc.fields + "Transfer-Encoding: chunked\r\n\r\n" + body
			for how, src := range splits(get + in) {
				if diff := cmp.Diff([]message{{wire: get + tc.want}}, forwardRequests(src, Forward{}), cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("request, %s: (-want +got)\n%s", how, diff)
				}
			}
			for how, src := range splits(ok + in) {
				if diff := cmp.Diff([]message{{wire: ok + tc.want}}, forwardResponses(src, Forward{}, RequestInfo{}), cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("response, %s: (-want +got)\n%s", how, diff)
				}
			}
		})
	}
}

// A field that is removed on the way says nothing to the upstream, so it does not count.
func TestRule28_WhatEndsHereDoesNotCount(t *testing.T) {
	for fields, want := range map[string]string{
		"":                       "-",
		"Idempotency-Key: k\r\n": "k",
		"Idempotency-Key: k\r\nIdempotency-Key: l\r\n":                                            "k",
		"Idempotency-Key:\r\n":                                                                    "-",
		"Idempotency-Key: \t\r\nidempotency-key: l\r\n":                                           "l",
		"Idempotency-Key: k\r\nConnection: x, idempotency-KEY\r\n":                                "-",
		"Connection: Idempotency-Key\r\nIdempotency-Key: k\r\n":                                   "-",
		"Connection: Idempotency-Ke\r\nIdempotency-Key: k\r\n":                                    "k",
		"Connection: " + strings.Repeat("a,B,", 20) + "IDEMPOTENCY-KEY\r\nIdempotency-Key: k\r\n": "-",
		"Connection: " + strings.Repeat("a,B,", 20) + "\r\nIdempotency-Key: k\r\n":                "k",
	} {
		q, err := readRequest(t, "POST / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n")
		if err != nil {
			t.Fatal(err)
		}
		got, ok := q.Header("idempotency-key")
		if ok != (want != "-") || ok && string(got) != want {
			t.Errorf("%q: %q, %v, want %q", fields, got, ok, want)
		}
	}
	q, err := readRequest(t, "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nUpgrade: x\r\nKeep-Alive: 1\r\nConnection: host\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"te": true, "upgrade": false, "keep-alive": false, "host": true, "connection": false} {
		if _, ok := q.Header(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	q, err = readRequest(t, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\nConnection: Expect\r\n\r\n")
	if err != nil || q.Expect100 {
		t.Errorf("an expectation that is removed is waited for: %v, %v", q.Expect100, err)
	}
}

func TestRule28_AFieldCanBeReplaced(t *testing.T) {
	q, err := readRequest(t, "POST / HTTP/1.1\r\nHost: a\r\nKEY:\r\nA: b\r\nkey: \r\nKeys: c\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := q.WriteRequest(&out, Forward{Extra: []byte("Key: new\r\n"), Without: []string{"key"}}, nil); err != nil {
		t.Fatal(err)
	}
	if want := "POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nKeys: c\r\nKey: new\r\n\r\n"; out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
}

// However many fields Connection names, and in whatever case, exactly these are removed.
func TestRule28_ManyNominations(t *testing.T) {
	for _, count := range []int{1, 15, 16, 17, 100, 5000} {
		rng := newRand(uint64(count))
		var in, want, list strings.Builder
		for i := range count {
			name := fmt.Sprintf("X-%d", rng.IntN(2*count))
			if i%3 == 0 {
				name = strings.ToLower(name)
			}
			list.WriteString(name + ",")
		}
		named := "," + strings.ToLower(list.String())
		for range 50 {
			line := fmt.Sprintf("x-%d: y\r\n", rng.IntN(2*count))
			in.WriteString(line)
			if !strings.Contains(named, ","+line[:strings.Index(line, ":")]+",") {
				want.WriteString(line)
			}
		}
		const start = "GET / HTTP/1.1\r\nHost: a\r\n"
		got := forwardRequests(strings.NewReader(start+in.String()+"Connection: "+list.String()+"\r\n\r\n"), Forward{})
		if diff := cmp.Diff([]message{{wire: start + want.String() + "\r\n"}}, got, cmp.AllowUnexported(message{})); diff != "" {
			t.Errorf("%d: (-want +got)\n%s", count, diff)
		}
	}
}

func TestRule28_TEKeepsTrailersOnly(t *testing.T) {
	const start, end = "GET / HTTP/1.1\r\nHost: a\r\n", "Connection: TE\r\n\r\n"
	for fields, want := range map[string]string{
		"TE: trailers\r\nConnection: TE\r\n":                "TE: trailers\r\n" + end,
		"TE: Trailers\r\n":                                  "TE: Trailers\r\n" + end,
		"te: deflate;q=0.5, trailers\r\nConnection: te\r\n": "te: trailers\r\n" + end,
		"TE: gzip\r\nA: b\r\nTE: trailers\r\n":              "TE: trailers\r\nA: b\r\n" + end,
		"TE: gzip\r\nConnection: TE\r\n":                    "\r\n",
		"TE:\r\n":                                           "\r\n",
		"TE: trailersx\r\n":                                 "\r\n",
	} {
		got := forwardRequests(strings.NewReader(start+fields+"\r\n"), Forward{})
		if len(got) != 1 || got[0] != (message{wire: start + want}) {
			t.Errorf("%q: got %+v", fields, got)
		}
	}
}

// h2c is not offered on in any spelling, and what else is offered is.
func TestRule28_NoOfferOfH2C(t *testing.T) {
	const start = "GET / HTTP/1.1\r\nHost: a\r\n"
	for upgrade, want := range map[string]string{
		"Upgrade: h2c":                               "",
		"Upgrade: H2C":                               "",
		"Upgrade: h2c,":                              "",
		"Upgrade: ,h2c":                              "",
		"Upgrade: h2c, h2c":                          "",
		"Upgrade: \t, h2c ,,\tH2c ":                  "",
		"Upgrade: h2c\r\nUpgrade: h2C":               "",
		"Upgrade: h2c-14, h2c-16":                    "",
		"Upgrade: HTTP/2.0":                          "",
		"Upgrade: h2c/1":                             "",
		"Upgrade: h2c websocket":                     "",
		"Upgrade: websocket, h2c x":                  "Upgrade: websocket\r\n",
		"Upgrade: \"h2c\"":                           "",
		"Upgrade:":                                   "",
		"Upgrade: h2c, websocket":                    "Upgrade: websocket\r\n",
		"Upgrade: websocket,h2c":                     "Upgrade: websocket\r\n",
		"upgrade: a/1,h2c ,  b, h2c-17,c":            "upgrade: a/1, b, c\r\n",
		"Upgrade: h2c\r\nUpgrade: websocket":         "Upgrade: websocket\r\n",
		"Upgrade: x\r\nUpgrade: h2c, y\r\nUpgrade:z": "Upgrade: x\r\nUpgrade: y\r\nUpgrade: z\r\n",
		"Upgrade:websocket":                          "Upgrade:websocket\r\n",
		"Upgrade: h2":                                "Upgrade: h2\r\n",
		"Upgrade: TLS/1.0, HTTP/1.1":                 "Upgrade: TLS/1.0, HTTP/1.1\r\n",
	} {
		q, err := readRequest(t, start+"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"+upgrade+"\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			want += "Connection: Upgrade\r\n"
		}
		var out bytes.Buffer
		if _, err := q.WriteRequest(&out, Forward{}, nil); err != nil || out.String() != start+want+"\r\n" {
			t.Errorf("%q: forwarded %q, %v", upgrade, out.String(), err)
		}
		if q.Upgrade != (want != "") {
			t.Errorf("%q: upgrade %v", upgrade, q.Upgrade)
		}
	}
	got := forwardRequests(strings.NewReader(start+"http2-settings: x\r\n\r\n"), Forward{})
	if len(got) != 1 || got[0] != (message{wire: start + "\r\n"}) {
		t.Errorf("settings without an offer: %+v", got)
	}
}

// OPTIONS and TRACE count down; other methods do not know the field.
func TestRule29_MaxForwards(t *testing.T) {
	for name, tc := range map[string]struct {
		method, fields, want string
		zero                 bool
	}{
		"one left":           {"OPTIONS", "Max-Forwards: 1\r\n", "Max-Forwards: 0\r\n", false},
		"ten left":           {"TRACE", "max-forwards:\t10 \r\n", "max-forwards: 9\r\n", false},
		"many":               {"TRACE", "Max-Forwards: 1" + strings.Repeat("0", 40) + "\r\n", "Max-Forwards: " + strings.Repeat("9", 40) + "\r\n", false},
		"zeros in front":     {"OPTIONS", "Max-Forwards: 0100\r\n", "Max-Forwards: 0099\r\n", false},
		"zero":               {"OPTIONS", "Max-Forwards: 0\r\n", "Max-Forwards: 0\r\n", true},
		"many zeros":         {"TRACE", "Max-Forwards: 000\r\n", "Max-Forwards: 000\r\n", true},
		"one of two is zero": {"TRACE", "Max-Forwards: 5\r\nMax-Forwards: 0\r\n", "Max-Forwards: 4\r\nMax-Forwards: 0\r\n", true},
		"GET":                {"GET", "Max-Forwards: 0\r\n", "Max-Forwards: 0\r\n", false},
		"no number":          {"OPTIONS", "Max-Forwards: -1\r\n", "Max-Forwards: -1\r\n", false},
		"nothing":            {"OPTIONS", "Max-Forwards:\r\n", "Max-Forwards:\r\n", false},
		"no field":           {"OPTIONS", "A: b\r\n", "A: b\r\n", false},
	} {
		q, err := readRequest(t, tc.method+" / HTTP/1.1\r\nHost: a\r\n"+tc.fields+"\r\n")
		if err != nil || q.NoForwards() != tc.zero {
			t.Errorf("%s: %v, no more forwards: %v", name, err, q.NoForwards())
			continue
		}
		var out bytes.Buffer
		want := tc.method + " / HTTP/1.1\r\nHost: a\r\n" + tc.want + "\r\n"
		if _, err := q.WriteRequest(&out, Forward{}, nil); err != nil || out.String() != want {
			t.Errorf("%s: forwarded %q, %v", name, out.String(), err)
		}
	}
}

func TestRule29_AnswersOfAFinalRecipient(t *testing.T) {
	trace := "TRACE /a?b HTTP/1.1\r\nHost: a\r\nX:  y\r\n"
	for name, tc := range map[string]struct {
		in, want string
		say      ConnOption
	}{
		"OPTIONS": {"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NoConnOption},
		"TRACE": {trace + "Authorization: Basic x\r\ncookie: y\r\nProxy-Authorization: z\r\nX-API-Key: k\r\nMax-Forwards: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: 56\r\nConnection: close\r\n\r\n" + trace + "Max-Forwards: 0\r\n\r\n", ConnClose},
	} {
		q, err := readRequest(t, tc.in)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := q.AnswerHere(&out, tc.say); err != nil || out.String() != tc.want {
			t.Errorf("%s: got %q, %v\nwant %q", name, out.String(), err, tc.want)
		}
		got := forwardResponses(&out, Forward{}, q.Info())
		if len(got) != 1 || got[0].err != nil {
			t.Errorf("%s: our own reader: %+v", name, got)
		}
	}
}

// The method of a refused request is known as soon as it can be, so that the refusal of a HEAD has no content.
func TestRule26_RefusedHEADsAreKnown(t *testing.T) {
	r := NewReader(strings.NewReader("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + "G@T / HTTP/1.1\r\n"))
	var q Request
	if err := r.ReadRequest(&q); err != nil || !q.Info().Head {
		t.Fatalf("%v, %+v", err, q.Info())
	}
	r.Finish()
	if err := r.ReadRequest(&q); err != ErrMethod || q.Info().Head {
		t.Errorf("the next request: %v, %+v", err, q.Info())
	}
	for in, want := range map[string]bool{
		"HEAD  HTTP/1.1\r\n":                                  true,
		"HEAD / HTTP/3.0\r\n":                                 true,
		"HEAD / HTTP/1.1\nHost: a\r\n":                        true,
		"\r\nHEAD / HTTP/1.1\r\nHost: a\r\nA : b\r\n":         true,
		"HEAD / HTTP/1.1\r\n\r\n":                             true,
		"HEAD /" + strings.Repeat("a", 2*MaxLine):             true,
		"HEADS / HTTP/1.1\r\n\r\n":                            false,
		"POST / HTTP/1.1\r\nHost: a\r\nHEAD : b\r\n":          false,
		"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n": true,
	} {
		q := new(Request)
		if err := NewReader(strings.NewReader(in)).ReadRequest(q); err == nil || err == io.EOF || q.Info().Head != want {
			t.Errorf("%.40q: %v, HEAD %v", in, err, q.Info().Head)
		}
		src := NewReader(strings.NewReader(in))
		q = new(Request)
		for src.More() == nil { //nolint:revive // everything there is
		}
		if done, err := src.TryRequest(q); done && err == nil || err != nil && q.Info().Head != want {
			t.Errorf("%.40q: tried, %v, HEAD %v", in, err, q.Info().Head)
		}
	}
}

// What is at hand of a body is judged before anything is sent, with whatever good bytes come first, and also where a line has no
// end yet.
func TestRule27_ABadBodyAtHandIsSeenBeforeDispatch(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for body, want := range map[string]*Error{
		"zz\r\n":                               ErrChunkSize,
		"zz":                                   ErrChunkSize,
		"0x5\r\nhello\r\n0\r\n\r\n":            ErrChunkSize,
		"0x":                                   ErrChunkSize,
		"\r\n":                                 ErrChunkSize,
		"5 \r\n":                               ErrChunkSize,
		"5\n":                                  ErrBareLF,
		"5;a\x00":                              ErrChunkSize,
		"ffffffffffffffff":                     ErrChunkSize,
		"5\r\nhelloX":                          ErrChunkEnd,
		"5\r\nhello\rX":                        ErrChunkEnd,
		"5\r\nhello\n":                         ErrChunkEnd,
		"5\r\nhello\r\nzz\r\n":                 ErrChunkSize,
		"5\r\nhello\r\n0\r\nbad\r\n":           ErrFieldName,
		"5\r\nhello\r\n0\r\nHost: b\r\n":       ErrTrailer,
		"5\r\nhello\r\n0\r\nA: b\r\n c\r\n":    ErrFold,
		"5\r\nhello\r\n0\r\nA: b\r\nC : d\r\n": ErrFieldName,
		"5\r\nhello\r\n0\r\n\n":                ErrBareLF,
		"5\r\nhello\r\n0\r\n\r":                nil,
		"5\r\nhel":                             nil,
		"5":                                    nil,
		"5\r":                                  nil,
		"5;a":                                  nil,
		"":                                     nil,
	} {
		for _, fields := range []string{"", "Connection: X\r\n"} {
			r := NewReader(strings.NewReader(strings.Replace(head, "\r\n\r\n", "\r\n"+fields+"\r\n", 1) + body))
			var q Request
			var b Body
			if err := r.ReadRequest(&q); err != nil {
				t.Fatal(err)
			}
			r.Body(&b, &q.Head)
			good, err := b.Ready()
			if want == nil && err != nil || want != nil && err != want {
				t.Errorf("%q: %v, want %v", body, err, want)
			}
			if !strings.HasPrefix(body, string(good)) {
				t.Errorf("%q: handed out %q", body, good)
			}
			if _, again := b.Ready(); again != err {
				t.Errorf("%q: %v, then %v", body, err, again)
			}
		}
	}
}

func TestSentencesAreShortAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range []*Error{
		ErrRequestLine, ErrMethod, ErrTarget, ErrStatusLine, ErrBareLF, ErrFold, ErrFieldName, ErrFieldValue, ErrHostMissing, ErrHostTwice,
		ErrHost, ErrContentLength, ErrLengthsDiffer, ErrLengthAndCoding, ErrCoding, ErrCodingVersion, ErrConnectBody, ErrConnectionList,
		ErrChunkSize, ErrChunkLine, ErrChunkEnd, ErrTrailer, ErrSwitch, ErrVersion, ErrLineTooLong, ErrHeadTooLarge,
	} {
		if s := e.Error(); seen[s] || s == "" || len(s) > 64 || strings.ContainsAny(s, "\"\r\n") {
			t.Errorf("sentence %q", s)
		}
		seen[e.Error()] = true
	}
}
