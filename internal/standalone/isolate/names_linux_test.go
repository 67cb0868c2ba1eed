package isolate

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/transport"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "look-up" {
		lookUp(os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

// lookUp prints the IPv4 addresses of names, which it asks an address for that nobody has.
func lookUp(names []string) {
	for i, network := range []string{"udp", "tcp"} {
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "192.0.2.53:53")
		}}
		addrs, err := r.LookupNetIP(context.Background(), "ip4", names[i])
		_, _ = io.WriteString(os.Stdout, netip.AddrPortFrom(first(addrs), 1).String()+" ")
		if err != nil {
			_, _ = io.WriteString(os.Stdout, err.Error())
		}
	}
}

func first(addrs []netip.Addr) netip.Addr {
	if len(addrs) == 0 {
		return netip.Addr{}
	}
	return addrs[0]
}

// resolver answers every question with one address, over UDP and TCP, and keeps which names it was asked for.
type resolver struct {
	at netip.AddrPort

	mu    sync.Mutex
	asked []string
}

func startResolver(t *testing.T) *resolver {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{at: tcp.Addr().(*net.TCPAddr).AddrPort()}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(r.at))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, maxMessage)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteToUDPAddrPort(r.answer(buf[:n]), from)
		}
	})
	serving.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			if question, err := readFrame(c); err == nil {
				_ = writeFrame(c, r.answer(question))
			}
			c.Close()
		}
	})
	t.Cleanup(func() { udp.Close(); tcp.Close(); serving.Wait() })
	return r
}

func (r *resolver) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil {
		return nil
	}
	r.mu.Lock()
	r.asked = append(r.asked, m.Questions[0].Name.String())
	r.mu.Unlock()
	m.Response = true
	m.Additionals = nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}},
		}}
	}
	packed, _ := m.Pack()
	return packed
}

// nobody serves nothing.
type nobody struct{}

func (nobody) Serve(conn transport.Socket, _ netip.AddrPort, _ []byte) { _ = conn.Close() }

// Questions to the DNS are answered wherever they go: those for what is known here at once, and the others as this machine's resolver does.
func TestNamesAreLookedUp(t *testing.T) {
	netnstest.Privileged(t)
	r := startResolver(t)
	s, err := New(Options{
		Server: nobody{}, Log: slog.New(slog.DiscardHandler), Resolvers: []netip.AddrPort{r.at},
		Address: func(name string) (netip.Addr, bool) {
			return netip.MustParseAddr("198.19.255.1"), name == "inventory.warehouse"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		names [2]string
		want  string
	}{
		{[2]string{"inventory.warehouse.", "Inventory.Warehouse."}, "198.19.255.1:1 198.19.255.1:1 "},
		{[2]string{"a.example.", "b.example."}, "192.0.2.7:1 192.0.2.7:1 "},
	} {
		if got := runIn(t, s, self, "look-up", tc.names[0], tc.names[1]); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.names, got, tc.want)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.asked, " "); got == "" || strings.Contains(strings.ToLower(got), "inventory") {
		t.Errorf("the resolver was asked for %q", got)
	}
}

// runIn runs a program inside, and returns what it prints.
func runIn(t *testing.T, s *Space, path string, args ...string) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	p, err := s.Start(path, append([]string{path}, args...), &os.ProcAttr{Env: os.Environ(), Files: []*os.File{nil, write, os.Stderr}})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, err = io.Copy(&out, read)
	if state, waited := p.Wait(); err != nil || waited != nil || !state.Success() {
		t.Fatal(err, waited, state)
	}
	return out.String()
}

// A namespace is gone with its last process, and its interfaces with it: this machine's own are never touched.
func TestThisMachineIsLeftAlone(t *testing.T) {
	netnstest.Privileged(t)
	links := func() string {
		out, err := exec.Command("cat", "/proc/net/dev").Output()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for line := range strings.Lines(string(out)) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	before := links()
	s, err := New(Options{Server: nobody{}, Log: slog.New(slog.DiscardHandler), Resolvers: []netip.AddrPort{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if after := links(); after != before {
		t.Errorf("links were %s and are %s", before, after)
	}
}
