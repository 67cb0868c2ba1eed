package proxy

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// What an idle connection takes of the process at most: what the kernel holds for its sockets, and what calls take while they are under
// way, comes on top. One that is passed through has a connection to its server; one of HTTP/2 keeps a stream for its next call.
const (
	httpMemory   = 6 << 10
	passedMemory = 8 << 10
	http2Memory  = 15 << 10
)

// idleKind is a kind of idle connection.
type idleKind struct {
	name    string
	binding policy.Binding
	// server is what answers HTTP, and says what a client says where something else answers; nil: each connection has one to its server,
	// which answers with answers.
	server        func(testing.TB) netip.AddrPort
	says, answers []byte
	// talk is what a client does instead of saying something.
	talk func(*testing.T, end)
	most uint64
}

const (
	upgradeRequest = "GET /chat HTTP/1.1\r\nHost: up.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	upgradeResponse = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// What an idle connection takes bounds how many there may be on a node.
func TestIdleConnectionsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	tcp := toAny(nil)
	tcp.To.Protocol = policy.ProtocolTCP
	named := toAny(nil)
	named.To = policy.Target{Kind: policy.TargetHost, Host: "*.example", Protocol: policy.ProtocolTLS}
	elsewhere := toAny(nil)
	elsewhere.To = policy.Target{Kind: policy.TargetHost, Host: "elsewhere.example", Protocol: policy.ProtocolAuto}
	hello := clientHello(t, "up.example")
	http1 := func(t testing.TB) netip.AddrPort { return serve(t, rawUpstream(answer(200, ""))) }
	for _, k := range []idleKind{
		{name: "HTTP/1", binding: toAny(nil), server: http1, says: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), most: httpMemory},
		{name: "WebSocket", binding: toAny(everything), says: []byte(upgradeRequest), answers: []byte(upgradeResponse), most: passedMemory},
		{name: "opaque", binding: tcp, says: []byte("HELO there, I have something to say\r\n"), answers: []byte("well"), most: passedMemory},
		{name: "TLS by its name", binding: named, says: hello, answers: []byte("well"), most: passedMemory},
		{name: "TLS of no policy", binding: elsewhere, says: hello, answers: []byte("well"), most: passedMemory},
		{name: "HTTP/2", binding: toAnyH2(nil), server: rawServerH2, talk: speakHTTP2, most: http2Memory},
	} {
		t.Run(k.name, func(t *testing.T) {
			each := idleConnections(t, 2000, &k) // of fewer, what some of them have used at the same time would count
			t.Logf("%d bytes for each connection", each)
			if each > k.most {
				t.Errorf("%d bytes for each connection, more than %d", each, k.most)
			}
		})
	}
}

func speakHTTP2(t *testing.T, client end) { check(t, newRawClientH2(t, client, "").exchange(1)) }

// clientHello is what a client of TLS says first.
func clientHello(t *testing.T, name string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		defer ours.Close()
		_ = tls.Client(ours, &tls.Config{ServerName: name}).Handshake() // ends with the pipe
	}()
	record := make([]byte, 5, 4<<10)
	if _, err := io.ReadFull(theirs, record); err != nil {
		t.Fatal(err)
	}
	record = record[:5+int(binary.BigEndian.Uint16(record[3:]))]
	if _, err := io.ReadFull(theirs, record[5:]); err != nil {
		t.Fatal(err)
	}
	return record
}

// idleConnections opens so many connections that have carried a few bytes, and returns the memory of the process that each of them
// takes. Their ends at clients and servers are known to the kernel alone.
func idleConnections(t *testing.T, count int, k *idleKind) (bytesEach uint64) {
	var ends ends
	t.Cleanup(ends.close)
	var server end
	var at netip.AddrPort
	if k.server != nil {
		at = k.server(t)
	} else {
		server, at = listenRaw(t, &ends)
	}
	w := build(t, at, k.binding)
	w.seen.discards.Store(true)
	w.dialer.files.Store(true)
	captured := netip.MustParseAddrPort(w.captured.Addr().String())
	in := make([]byte, 512)
	goroutines, before := runtime.NumGoroutine(), inUse()
	for range count {
		client := dialRaw(t, &ends, captured)
		if k.talk != nil {
			k.talk(t, client)
			continue
		}
		must(client.Write(k.says))(t)
		if k.server == nil {
			peer := acceptRaw(t, &ends, server)
			must(peer.Read(in))(t)
			must(peer.Write(k.answers))(t)
		}
		must(client.Read(in))(t)
	}
	w.awaitGoroutines(goroutines + count + 10)
	after := inUse()
	return (after - before) / uint64(count)
}

// awaitGoroutines waits until there are no more goroutines than that: a quiet server is left to the poller soon.
func (w *testProxy) awaitGoroutines(most int) {
	w.t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.Now().Add(patience); runtime.NumGoroutine() > most; <-again.C {
		if time.Now().After(late) {
			w.t.Fatalf("%d goroutines are left", runtime.NumGoroutine())
		}
	}
}

// inUse returns the memory of heap and stacks after a collection, which also shrinks stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// A connection's stack keeps the size that it once needed until the next collection, and what serves a request from the pool needs
// little: an idle connection has a stack of 4 KiB.
func TestKeptConnectionsHaveSmallStacks(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const count = 200
	response := answer(200, "")
	w := quietWorld(t, response, toAny(everything))
	w.seen.discards.Store(true)
	first := w.dial() // makes the connection that all others use
	in := make([]byte, len(response))
	call := func(c *client) {
		if err := exchangeRaw(c, []byte(request1K), in); err != nil {
			t.Fatal(err)
		}
	}
	call(first)
	before := stacks()
	for range count {
		call(w.dial())
	}
	if each := (stacks() - before) / count; each > 6<<10 {
		t.Errorf("%d bytes of stack for each connection", each)
	}
}

func stacks() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}
