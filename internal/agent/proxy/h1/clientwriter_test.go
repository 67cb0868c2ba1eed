package h1

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// The head of an answer has until the call's deadline to reach a client that has no room for any of it.
func TestRule01_TheHeadOfAnAnswerHasNoMoreTimeThanTheCall(t *testing.T) {
	conn, _ := transporttest.Pair(t)
	s := clientWriter{conn: conn}
	transporttest.Fill(t, conn)
	s.headBy = time.Now().Add(drive.FirstCheck)
	if n, err := s.Write([]byte("HTTP/1.1 200 OK\r\n")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}

// A client that takes nothing is not waited for with a refusal either, although no policy says for how long.
func TestARefusalThatIsNotTakenEnds(t *testing.T) {
	all, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return nil }, Observer: routes.Discard{}})
	if err != nil {
		t.Fatal(err)
	}
	binding := policy.Binding{Key: "a", To: policy.Target{Kind: policy.TargetAny}, Base: policy.Defaults()}
	all.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{"pod": {UID: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{binding}}},
	})
	var selector route.Selector
	selector.Init(&route.Origin{Table: all, Pod: "pod", Original: netip.MustParseAddrPort("192.0.2.1:80")})
	conn, _ := transporttest.Pair(t)
	var s Session
	o := Options{Malformed: func(drive.Refused) {}, HeadTimeout: drive.FirstCheck}
	s.Init(New(o), &drive.Client{Conn: conn, Share: &drive.PodShare{}}, &selector)
	transporttest.Fill(t, conn)
	s.begin()
	if next := s.refuse(&http1.Error{Status: 400}); next != closeNow {
		t.Errorf("goes on with %d, want %d", next, closeNow)
	}
	s.Close()
}
