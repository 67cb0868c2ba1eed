package proxy

import (
	"encoding/binary"
	"io"
	"net/netip"
	"runtime"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// tunnelMemory is what an idle tunnel of HTTP/2 takes at most, a stream on each side of the proxy.
const tunnelMemory = 8 << 10

// rawTunnelServer offers extended CONNECT, and agrees to every request of it without ending the stream. It allocates nothing.
func rawTunnelServer(t testing.TB) netip.AddrPort {
	return serve(t, func(_ int, p *peer) {
		var preface [len(http2.Preface)]byte
		if _, err := io.ReadFull(p.r, preface[:]); err != nil {
			return
		}
		settings := http2.InitialSettings()
		settings.EnableConnectProtocol = true
		_, _ = p.Write(settings.Append(nil))
		var out []byte
		f := rawFrames{r: p.r}
		for {
			t, flags, stream, err := f.next()
			switch {
			case err != nil:
				return
			case t == http2.SettingsFrame && flags&1 == 0:
				out = http2.AppendSettingsAck(out[:0])
			case t == http2.Headers:
				out = append(out[:0], 0, 0, 1, byte(http2.Headers), 4|flags&1) // ends as the request does
				out = append(binary.BigEndian.AppendUint32(out, stream), 0x88) // :status 200
			default:
				continue
			}
			if _, err := p.Write(out); err != nil {
				return
			}
		}
	})
}

// openTunnels makes a call, by which the client learns of extended CONNECT, and then opens so many tunnels.
func openTunnels(t *testing.T, client end, count int) {
	t.Helper()
	k := newRawClientH2(t, client, "")
	responses := func(n int) {
		for n > 0 {
			typ, flags, _, err := k.f.next()
			switch {
			case err != nil:
				t.Fatal(err)
			case typ == http2.SettingsFrame && flags&1 == 0:
				must(client.Write(http2.AppendSettingsAck(nil)))(t)
			case typ == http2.RSTStream || typ == http2.GoAway:
				t.Fatal("a stream was reset")
			case typ == http2.Headers:
				n--
			}
		}
	}
	must(client.Write(k.head))(t)
	responses(1)
	var b http2.Block
	for _, f := range websocket() {
		b.Add(f.Name, f.Value)
	}
	var e http2.Encoder
	e.Init(0)
	head := e.AppendHeaders(nil, &b, &http2.Outgoing{Stream: 1, MaxFrame: http2.MaxFrame})
	for i := range count {
		binary.BigEndian.PutUint32(head[5:], uint32(3+2*i))
		must(client.Write(head))(t)
		responses(1)
	}
}

// A WebSocket over HTTP/2 takes no more than one of HTTP/1.1: what is measured includes its part of both connections.
func TestIdleTunnelsOverHTTP2AreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	const connections, tunnels = 20, 100
	var ends ends
	t.Cleanup(ends.close)
	w := build(t, rawTunnelServer(t), toAnyH2(everything))
	w.seen.discards.Store(true)
	w.dialer.files.Store(true)
	captured := netip.MustParseAddrPort(w.captured.Addr().String())
	goroutines, before := runtime.NumGoroutine(), inUse()
	for range connections {
		openTunnels(t, dialRaw(t, &ends, captured), tunnels)
	}
	w.awaitGoroutines(goroutines + 8*connections)
	each := (inUse() - before) / (connections * tunnels)
	t.Logf("%d bytes for each tunnel", each)
	if each > tunnelMemory {
		t.Errorf("%d bytes for each tunnel, more than %d", each, tunnelMemory)
	}
}
