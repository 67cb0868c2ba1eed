package proxy

import (
	"strings"
	"testing"
)

// BenchmarkExchange measures a call with everything on, 1 KiB back, on one kept-alive connection: the client's and the upstream's
// side are in it.
func BenchmarkExchange(b *testing.B) {
	response := answer(200, strings.Repeat("x", 1024))
	w := quietWorld(b, response, toAny(everything))
	c := w.dial()
	request, in := []byte(request1K), make([]byte, len(response))
	b.ReportAllocs()
	for b.Loop() {
		if err := exchangeRaw(c, request, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnection measures a connection whose protocol has to be found out, with one call.
func BenchmarkConnection(b *testing.B) {
	response := answer(200, "fine")
	w := quietWorld(b, response, undeclared(everything))
	request, in := []byte(request1K), make([]byte, len(response))
	b.ReportAllocs()
	for b.Loop() {
		c := w.dial()
		if err := exchangeRaw(c, request, in); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
