package h1

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// noDialer connects to nothing.
type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// And so is one that the server has closed before the agent has: the pool looks at what is idle, and closes it.
func TestRule25_TheServersClosingIsAnEndAfterThePoolsOwn(t *testing.T) {
	table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Observer: routes.Discard{}})
	if err != nil {
		t.Fatal(err)
	}
	table.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{"pod": {UID: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{Key: "a", To: policy.Target{Kind: policy.TargetAny}, Base: policy.Defaults()}}}},
	})
	client, _ := transporttest.Pair(t)
	server, far := transporttest.Pair(t)
	s := &Session{client: &drive.Client{Conn: client}, routes: &route.Selector{}}
	s.routes.Init(&route.Origin{Table: table, Pod: "pod", Original: netip.MustParseAddrPort("192.0.2.1:80")})
	if _, ok := s.routes.Select(&http1.Request{}); !ok || !s.routes.Pinned() {
		t.Fatal("the session is not pinned to its server")
	}
	s.pinTo(server)
	_ = far.Close()
	if err := server.AwaitReadable(); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if !s.serverEnded() {
		t.Error("not noticed")
	}
}

// A connection that the agent itself has closed, because it was idle for long enough, is no server's end.
func TestRule25_ThePoolsOwnClosingIsNoEnd(t *testing.T) {
	client, _ := transporttest.Pair(t)
	server, _ := transporttest.Pair(t)
	server.NoteEnding()
	s := &Session{client: &drive.Client{Conn: client}, server: pinnedServer{conn: server}}
	_ = server.Close()
	if s.serverEnded() {
		t.Error("taken for the server's")
	}
}

// One that the server has closed is.
func TestRule25_TheServersClosingIsAnEnd(t *testing.T) {
	client, _ := transporttest.Pair(t)
	server, far := transporttest.Pair(t)
	s := &Session{client: &drive.Client{Conn: client}, server: pinnedServer{conn: server}}
	_ = far.Close()
	if err := server.AwaitReadable(); err != nil {
		t.Fatal(err)
	}
	if !s.serverEnded() {
		t.Error("not noticed")
	}
}
