package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
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

// BenchmarkUnmatchedConnection measures a connection that no policy governs, with one call. The ends of client and server are known to the
// kernel alone.
func BenchmarkUnmatchedConnection(b *testing.B) {
	elsewhere := undeclared(nil)
	elsewhere.To = policy.Target{Kind: policy.TargetHost, Host: "elsewhere.example", Protocol: policy.ProtocolAuto}
	var ends ends
	b.Cleanup(ends.close)
	server, at := listenRaw(b, &ends)
	w := build(b, at, elsewhere)
	w.seen.discards.Store(true)
	w.dialer.files.Store(true)
	captured := netip.MustParseAddrPort(w.captured.Addr().String())
	request, response, in := []byte(request1K), []byte(answer(200, "fine")), make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		client := dialRaw(b, &ends, captured)
		must(client.Write(request))(b)
		peer := acceptRaw(b, &ends, server)
		must(peer.Read(in))(b)
		must(peer.Write(response))(b)
		must(client.Read(in))(b)
		ends.closeFrom(1)
	}
}
