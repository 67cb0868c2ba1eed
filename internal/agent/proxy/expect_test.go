package proxy

import (
	"io"
	"net/http"
	"testing"
)

// A client may go on with its body though a final response came instead of 100 (Continue), and an upstream may end that response
// only when it has read the body (RFC 9110 section 10.1.1): neither waits for the other for ever.
func TestRule21_ABodyThatComesBehindAFinalResponseIsSent(t *testing.T) {
	for name, tc := range map[string]struct {
		early bool // the client sends its body before it has heard anything
		ends  bool // the upstream's end is the response's
	}{
		"until close, at once":        {early: true, ends: true},
		"until close, after the head": {ends: true},
		"chunked, at once":            {early: true},
		"chunked, after the head":     {},
	} {
		t.Run(name, func(t *testing.T) {
			const body = "the body that was announced"
			got := make(chan string, 1)
			w := build(t, serve(t, func(_ int, p *peer) {
				if !p.headOnly() {
					return
				}
				last := "0\r\n\r\n"
				if tc.ends {
					last = ""
					p.send("HTTP/1.1 200 OK\r\n\r\nbegun")
				} else {
					p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
				}
				read := make([]byte, len(body))
				n, _ := io.ReadFull(p.r, read)
				got <- string(read[:n])
				p.send(last)
			}), toAny(nil))
			c := w.dial()
			c.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 27\r\n\r\n")
			if tc.early {
				c.send(body)
			}
			res, err := http.ReadResponse(c.r, &http.Request{Method: "PUT"})
			if err != nil {
				t.Fatal(err)
			}
			if !tc.early {
				c.send(body)
			}
			if answer, err := io.ReadAll(res.Body); string(answer) != "begun" || err != nil {
				t.Errorf("the answer is %q, %v", answer, err)
			}
			if sent := <-got; sent != body {
				t.Errorf("the upstream got %q", sent)
			}
		})
	}
}
