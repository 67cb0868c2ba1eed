package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestOneAskersNamesCostOthersNothing: neither the look-ups that it has under way, nor what it makes the resolver forget.
func TestOneAskersNamesCostOthersNothing(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		if name := q.Name.String(); name == "api.example." {
			return holding(addressRecord(name, "192.0.2.1", 60))(q, tcp)
		}
		<-release
		return &dnsmessage.Message{}
	})
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}, MaxNames: maxEach})
	if _, _, err := r.Lookup(t.Context(), "modest", "api.example"); err != nil {
		t.Fatal(err)
	}
	var waiting []*entry
	for i := range maxEach - 1 {
		e, err := r.find(time.Now(), "greedy", fmt.Sprintf("n%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, e)
	}
	close(release)
	for _, e := range waiting {
		<-e.done
	}
	for i := range 3 * maxEach { // there is no more room
		if _, _, err := r.Lookup(t.Context(), "greedy", fmt.Sprintf("m%d.example", i)); errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names["api.example"] == nil {
		t.Error("what another one had looked up is forgotten")
	}
	if g, n := r.of("greedy"), len(r.names); g.names != maxEach-1 || n != maxEach || g.underWay != 0 {
		t.Errorf("%d names, of which one has %d and %d under way", n, g.names, g.underWay)
	}
}

// TestOneAskersLookupsLeaveRoom: there are look-ups for others while one has as many as it may.
func TestOneAskersLookupsLeaveRoom(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(dnsmessage.Question, bool) *dnsmessage.Message {
		<-release
		return &dnsmessage.Message{}
	})
	defer close(release)
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	for i := range maxEach {
		if _, err := r.find(time.Now(), "greedy", fmt.Sprintf("n%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.find(time.Now(), "greedy", "more.example"); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if _, err := r.find(time.Now(), "modest", "api.example"); err != nil {
		t.Errorf("another one's: %v", err)
	}
}
