package connectproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is a connection to a proxy that answers with what is written here.
type script struct {
	sent   bytes.Buffer
	answer io.Reader
	err    error // of writing
}

func (s *script) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.sent.Write(p)
}

func (s *script) Read(p []byte, _, _ time.Time) (int, error) { return s.answer.Read(p) }

func TestConnect(t *testing.T) {
	refused := func(status int) func(error) bool {
		return func(err error) bool {
			var r *Refused
			return errors.As(err, &r) && r.Status == status
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for name, tc := range map[string]struct {
		answer string
		want   func(error) bool
		rest   string // what is left to read
	}{
		"connected":                {"HTTP/1.1 200 Connection established\r\n\r\nhello", is(nil), "hello"},
		"by an older proxy":        {"HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n", is(nil), ""},
		"a length means nothing":   {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n220 ready", is(nil), "220 ready"},
		"another 2xx":              {"HTTP/1.1 204 No Content\r\n\r\n", is(nil), ""},
		"without a reason":         {"HTTP/1.1 200\r\n\r\n", is(nil), ""},
		"bare line feeds":          {"HTTP/1.1 200 OK\n\nx", is(nil), "x"},
		"after interim answers":    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", is(nil), "x"},
		"too many interim answers": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), is(ErrMalformed), ""},
		"credentials wanted":       {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", refused(407), ""},
		"forbidden":                {"HTTP/1.1 403 Filtered\r\n\r\n", refused(403), ""},
		"unreachable":              {"HTTP/1.1 502 Bad Gateway\r\n\r\n", refused(502), ""},
		"redirected":               {"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", refused(302), ""},
		"another protocol":         {"HTTP/1.1 101 Switching Protocols\r\n\r\n", is(ErrMalformed), ""},
		"no HTTP":                  {"220 mail.example ESMTP\r\n\r\n", is(ErrMalformed), ""},
		"HTTP/2":                   {"HTTP/2.0 200 OK\r\n\r\n", is(ErrMalformed), ""},
		"a status that is none":    {"HTTP/1.1 2000 OK\r\n\r\n", is(ErrMalformed), ""},
		"a sign in the status":     {"HTTP/1.1 +20 OK\r\n\r\n", is(ErrMalformed), ""},
		"the end":                  {"HTTP/1.1 200 OK\r\n", is(ErrMalformed), ""},
		"nothing":                  {"", is(ErrMalformed), ""},
		"a head without an end":    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 10000), is(ErrMalformed), ""},
		"the longest head":         {"HTTP/1.1 200 OK\r\nx: " + strings.Repeat("a", maxHead-len("HTTP/1.1 200 OK\r\nx: \r\n\r\n")) + "\r\n\r\nx", is(nil), "x"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{answer: strings.NewReader(tc.answer)}
			err := Connect(s, Request{Host: "api.example", Port: 443})
			if !tc.want(err) {
				t.Fatalf("error %v", err)
			}
			if rest, _ := io.ReadAll(s.answer); err == nil && string(rest) != tc.rest {
				t.Errorf("%q is left, want %q", rest, tc.rest)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		give Request
		want string
	}{
		"a name":                      {Request{Host: "api.example", Port: 443}, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"},
		"an address":                  {Request{Host: "2001:db8::1", Port: 80}, "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"},
		"an address of IPv4":          {Request{Host: "192.0.2.1", Port: 80}, "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"},
		"one of IPv4 written as IPv6": {Request{Host: "::ffff:192.0.2.1", Port: 80}, "CONNECT [::ffff:192.0.2.1]:80 HTTP/1.1\r\nHost: [::ffff:192.0.2.1]:80\r\n\r\n"},
		"credentials": {Request{Host: "a", Port: 1, Username: "Aladdin", Password: "open sesame"},
			"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
		"a token without a user": {Request{Host: "a", Port: 1, Password: "token"},
			"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic OnRva2Vu\r\n\r\n"},
	} {
		s := &script{answer: strings.NewReader("HTTP/1.1 200 OK\r\n\r\n")}
		if err := Connect(s, tc.give); err != nil || s.sent.String() != tc.want {
			t.Errorf("%s: %q, %v", name, s.sent.String(), err)
		}
	}
}

func TestHostsThatCannotBeNamed(t *testing.T) {
	for _, host := range []string{"", "a b", "a\r\nX: y", "a/b", "a@b", "a?b", "ä.example", "a%00", "secret.internal:443.example.com", "a:443",
		"[2001:db8::1]", "fe80::1%eth0", "fe80::1%x\r\nX: y", "2001:db8::1:443.example.com"} {
		s := &script{answer: strings.NewReader("HTTP/1.1 200 OK\r\n\r\n")}
		if err := Connect(s, Request{Host: host, Port: 80}); !errors.Is(err, ErrHost) || s.sent.Len() > 0 {
			t.Errorf("%q: %v, %q was sent", host, err, s.sent.String())
		}
	}
}

func TestWhatARefusalMeans(t *testing.T) {
	for status, want := range map[int][2]bool{407: {true, false}, 403: {}, 404: {}, 500: {}, 502: {false, true}, 503: {false, true}, 504: {false, true}, 302: {}} {
		r := &Refused{status}
		if got := [2]bool{r.Unauthorized(), r.Unreachable()}; got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
		if !strings.Contains(r.Error(), fmt.Sprint(status)) {
			t.Errorf("%q names no status", r.Error())
		}
	}
}

func TestErrorsOfTheConnectionAreItsOwn(t *testing.T) {
	if err := Connect(&script{err: syscall.EPIPE}, Request{Host: "a", Port: 1}); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
	broken := io.MultiReader(strings.NewReader("HTTP/1.1 2"), failing{syscall.ECONNRESET})
	if err := Connect(&script{answer: broken}, Request{Host: "a", Port: 1}); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Whatever a proxy writes, no more than its answer is taken from the connection.
func FuzzConnect(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\nhello")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 407 X\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		s := &script{answer: bufio.NewReaderSize(strings.NewReader(answer), 16)}
		err := Connect(s, Request{Host: "a.example", Port: 443})
		rest, _ := io.ReadAll(s.answer)
		taken := answer[:len(answer)-len(rest)]
		if err == nil && !strings.HasSuffix(taken, "\n\n") && !strings.HasSuffix(taken, "\r\n\r\n") {
			t.Errorf("%q was taken", taken)
		}
		if len(taken) > maxInterim*maxHead {
			t.Errorf("%d bytes were taken", len(taken))
		}
	})
}
