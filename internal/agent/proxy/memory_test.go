package proxy

import (
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/policy"
)

// What an idle connection takes of the process at most: what the kernel holds for its sockets, and what calls take while they are under
// way, comes on top. One that is passed through has a connection to its server. The goals are 6 and 8 KiB; some 6.3 and 9.3 are taken since
// HTTP/2 and TLS came (see docs/benchmarks.md).
const (
	httpMemory   = 7 << 10
	passedMemory = 10<<10 + 512
)

// What an idle connection takes bounds how many there may be on a node.
func TestIdleConnectionsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	tcp := toAny(nil)
	tcp.To.Protocol = policy.ProtocolTCP
	for name, tc := range map[string]struct {
		binding policy.Binding
		say     string
		most    uint64
	}{
		"http":   {toAny(nil), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", httpMemory},
		"opaque": {tcp, "HELO there, I have something to say\r\n", passedMemory},
	} {
		t.Run(name, func(t *testing.T) {
			each := idleConnections(t, 500, tc.binding, tc.say)
			t.Logf("%d bytes for each connection", each)
			if each > tc.most {
				t.Errorf("%d bytes for each connection, more than %d", each, tc.most)
			}
		})
	}
}

// idleConnections opens so many connections that have carried a few bytes, and returns the memory of the process that each of them
// takes. Of the ends of client and server there are only the descriptors.
func idleConnections(t *testing.T, count int, b policy.Binding, say string) (bytesEach uint64) {
	var w *testProxy
	ends := descriptors{t: t, fds: make([]int, 0, 2*count)}
	t.Cleanup(func() { ends.close() })
	answered := func() {}
	if b.To.Protocol == policy.ProtocolHTTP {
		w = build(t, serve(t, rawUpstream(answer(200, ""))), b)
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		answered = func() { answerOne(&ends, l) }
		w = build(t, netip.MustParseAddrPort(l.Addr().String()), b)
	}
	w.seen.discards.Store(true)
	w.dialer.files.Store(true)
	in := make([]byte, 512)
	before := inUse()
	for range count {
		client, err := net.Dial("tcp", w.captured.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		answered()
		if _, err := client.Read(in); err != nil {
			t.Fatal(err)
		}
		ends.keep(client)
	}
	after := inUse()
	return (after - before) / uint64(count)
}

// answerOne answers on a connection of its own and keeps it.
func answerOne(ends *descriptors, l net.Listener) {
	ends.t.Helper()
	server, err := l.Accept()
	if err != nil {
		ends.t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 512)); err != nil {
		ends.t.Fatal(err)
	}
	if _, err := server.Write([]byte("well")); err != nil {
		ends.t.Fatal(err)
	}
	ends.keep(server)
}

// descriptors are connections of which nothing is kept but the descriptor.
type descriptors struct {
	t   *testing.T
	fds []int
}

func (d *descriptors) keep(c net.Conn) {
	d.t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			d.t.Error(err)
			return
		}
		d.fds = append(d.fds, copied)
	}); err != nil {
		d.t.Fatal(err)
	}
	_ = c.Close()
}

func (d *descriptors) close() {
	for _, fd := range d.fds {
		_ = unix.Close(fd)
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
