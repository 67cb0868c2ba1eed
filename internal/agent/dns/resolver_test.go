package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func newResolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	r := New(o)
	t.Cleanup(r.Close)
	return r
}

// Who does not wait has a name looked up all the same, and has what is known.
func TestALookupWithoutWaiting(t *testing.T) {
	s := serve(t, holding(addressRecord("api.example.", "192.0.2.1", 60)))
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Lookup(ctx, "", "api.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, _, err := r.Lookup(t.Context(), "", "api.example"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, _, err := r.Lookup(ctx, "", "api.example"); err != nil || !slices.Equal(got, addrs("192.0.2.1")) {
			t.Fatalf("%v, %v", got, err)
		}
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestLookup(t *testing.T) {
	const name = "api.example."
	many := make([]dnsmessage.Resource, 0, 40)
	for i := range 40 {
		many = append(many, addressRecord(name, fmt.Sprintf("192.0.2.%d", i), 60))
	}
	for what, tc := range map[string]struct {
		answer func(dnsmessage.Question, bool) *dnsmessage.Message
		want   []netip.Addr
		n      int // addresses, if want is nil
		// least and most bound how long the answer is believed
		least, most time.Duration
		err         error
	}{
		"both families": {
			answer: holding(addressRecord(name, "192.0.2.1", 30), addressRecord(name, "2001:db8::1", 20)), want: addrs("192.0.2.1", "2001:db8::1"),
			least: 15 * time.Second, most: 20 * time.Second,
		},
		"aliases": {
			answer: holding(aliasRecord(name, "A.example.", 10), aliasRecord("a.example.", "b.example.", 300), addressRecord("B.example.", "192.0.2.1", 60)),
			want:   addrs("192.0.2.1"), least: 5 * time.Second, most: 10 * time.Second,
		},
		"records of other names": {
			answer: holding(addressRecord("other.example.", "192.0.2.9", 30), addressRecord(name, "192.0.2.1", 30)), want: addrs("192.0.2.1"),
			least: 15 * time.Second, most: 30 * time.Second,
		},
		"aliases in a circle": {
			answer: holding(aliasRecord(name, "a.example.", 10), aliasRecord("a.example.", name, 10)), least: minTTL / 2, most: negativeFor,
		},
		"for ever":      {answer: holding(addressRecord(name, "192.0.2.1", 1<<31-1)), want: addrs("192.0.2.1"), least: maxTTL / 2, most: maxTTL},
		"a broken time": {answer: holding(addressRecord(name, "192.0.2.1", 1<<31)), want: addrs("192.0.2.1"), least: minTTL / 2, most: minTTL},
		"for no time":   {answer: holding(addressRecord(name, "192.0.2.1", 0)), want: addrs("192.0.2.1"), least: minTTL / 2, most: minTTL},
		"many":          {answer: holding(many...), n: maxAddrs, least: 30 * time.Second, most: time.Minute},
		"no addresses":  {answer: holding(startRecord("example.", 900, 3)), least: time.Second, most: 3 * time.Second},
		"no such name": {
			answer: func(dnsmessage.Question, bool) *dnsmessage.Message {
				return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, Authorities: []dnsmessage.Resource{startRecord("example.", 900, 900)}}
			},
			least: negativeFor / 2, most: negativeFor,
		},
		"refused": {
			answer: func(dnsmessage.Question, bool) *dnsmessage.Message {
				return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeRefused}}
			},
			most: failedFor, err: errServer,
		},
		"one family fails": {
			answer: func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
				if q.Type == dnsmessage.TypeAAAA {
					return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}
				}
				return holding(addressRecord(name, "192.0.2.1", 60))(q, tcp)
			},
			want: addrs("192.0.2.1"), most: failedFor,
		},
		"too large for a datagram": {
			answer: func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
				if !tcp {
					return &dnsmessage.Message{Header: dnsmessage.Header{Truncated: true}}
				}
				return holding(addressRecord(name, "192.0.2.1", 60))(q, tcp)
			},
			want: addrs("192.0.2.1"), least: 30 * time.Second, most: time.Minute,
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := serve(t, tc.answer)
			r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
			began := time.Now()
			got, until, err := r.Lookup(t.Context(), "", "api.example")
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if tc.n == 0 && !slices.Equal(got, tc.want) || tc.n > 0 && len(got) != tc.n {
				t.Errorf("addresses %v, want %v, %d", got, tc.want, tc.n)
			}
			if until.Before(began.Add(tc.least)) || until.After(time.Now().Add(tc.most)) {
				t.Errorf("believed for %v, want %v to %v", until.Sub(began), tc.least, tc.most)
			}
		})
	}
}

func TestAFalseAnswerIsPassedOver(t *testing.T) {
	s := serve(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		m := holding(addressRecord("api.example.", "192.0.2.66", 60), addressRecord("api.example.", "2001:db8::66", 60))(q, tcp)
		m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("bank.example."), Type: q.Type, Class: q.Class}}
		return m
	})
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	if got, _, err := r.Lookup(t.Context(), "", "api.example"); err == nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	broken := serve(t, func(dnsmessage.Question, bool) *dnsmessage.Message {
		return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}
	})
	good := serve(t, holding(addressRecord("api.example.", "192.0.2.1", 60)))
	r := newResolver(t, Options{Servers: []netip.AddrPort{broken.addr, good.addr}})
	if got, _, err := r.Lookup(t.Context(), "", "api.example"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAnswersAreKept(t *testing.T) {
	s := serve(t, holding(addressRecord("api.example.", "192.0.2.1", 60)))
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if got, _, err := r.Lookup(t.Context(), "", "api.example"); err != nil || len(got) != 1 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := s.asked.Load(); n != 2 {
		t.Errorf("%d questions, want one for each family", n)
	}
}

func TestAnAnswerThatHasPassedIsAskedForAgain(t *testing.T) {
	s := serve(t, holding(addressRecord("api.example.", "192.0.2.1", 60)))
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	for _, at := range []time.Time{time.Now(), time.Now().Add(time.Hour)} {
		e, err := r.find(at, "", "api.example")
		if err != nil {
			t.Fatal(err)
		}
		<-e.done
	}
	if n := s.asked.Load(); n != 4 {
		t.Errorf("%d questions, want two for each family", n)
	}
}

func TestWhoAsksDoesNotWaitLongerThanAllowed(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		<-release
		return holding(addressRecord("api.example.", "192.0.2.1", 60))(q, tcp)
	})
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Lookup(ctx, "", "api.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if got, _, err := r.Lookup(t.Context(), "", "api.example"); err != nil || len(got) != 1 { // the same look-up goes on
		t.Errorf("%v, %v", got, err)
	}
}

func TestBounds(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		<-release
		return &dnsmessage.Message{}
	})
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}, MaxNames: maxUnderWay + 8})
	var waiting []*entry
	for i := range maxUnderWay {
		e, err := r.find(time.Now(), "", fmt.Sprintf("n%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, e)
	}
	if _, err := r.find(time.Now(), "", "more.example"); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	close(release)
	for _, e := range waiting {
		<-e.done
	}
	for i := range 3 * maxUnderWay {
		if _, _, err := r.Lookup(t.Context(), "", fmt.Sprintf("m%d.example", i)); errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		r.mu.Lock()
		kept := len(r.names)
		if kept != r.used.Len() || kept > r.options.MaxNames {
			t.Fatalf("%d names are kept, %d in order", kept, r.used.Len())
		}
		r.mu.Unlock()
	}
}

// While too many others are looked up, addresses serve that should be looked up again, though not for ever; and nothing is forgotten.
func TestAddressesServeWhileTheyCannotBeLookedUpAgain(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		switch name := q.Name.String(); name {
		case "none.example.":
			return &dnsmessage.Message{}
		case "api.example.":
			return holding(addressRecord(name, "192.0.2.1", 60))(q, tcp)
		}
		<-release
		return &dnsmessage.Message{}
	})
	defer close(release)
	r := newResolver(t, Options{Servers: []netip.AddrPort{s.addr}})
	for _, name := range []string{"api.example", "none.example"} {
		if _, _, err := r.Lookup(t.Context(), "", name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxUnderWay {
		if _, err := r.find(time.Now(), "", fmt.Sprintf("n%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	e := r.names["api.example"]
	for range 2 {
		if got, err := r.find(e.until.Add(time.Second), "", "api.example"); err != nil || got != e {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := r.find(e.until.Add(staleFor), "", "api.example"); !errors.Is(err, ErrBusy) {
			t.Errorf("after too long: %v", err)
		}
		if _, err := r.find(e.until.Add(time.Second), "", "none.example"); !errors.Is(err, ErrBusy) {
			t.Errorf("of a name without addresses: %v", err)
		}
	}
}

func TestClosedResolver(t *testing.T) {
	s := serve(t, func(dnsmessage.Question, bool) *dnsmessage.Message { return nil })
	r := New(Options{Servers: []netip.AddrPort{s.addr}})
	e, err := r.find(time.Now(), "", "api.example")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	<-e.done
	if e.err == nil {
		t.Error("a look-up that was cut short says it has an answer")
	}
	if _, _, err := r.Lookup(t.Context(), "", "other.example"); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

func TestNoNameOfTheDNS(t *testing.T) {
	r := newResolver(t, Options{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
	got, _, err := r.Lookup(t.Context(), "", strings.Repeat("a", 300))
	if err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParseServers(t *testing.T) {
	got, err := parseServers(strings.NewReader("# comment\nsearch a b\nnameserver 10.96.0.10\nnameserver nonsense\nnameserver fd00::a\n" +
		"options ndots:5\nnameserver 1.1.1.1\nnameserver 8.8.8.8\nnameserver"))
	want := []netip.AddrPort{netip.MustParseAddrPort("10.96.0.10:53"), netip.MustParseAddrPort("[fd00::a]:53"), netip.MustParseAddrPort("1.1.1.1:53")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	r := newResolver(t, Options{File: "testdata/none"})
	if _, _, err := r.Lookup(t.Context(), "", "api.example"); err == nil {
		t.Error("no error without a file")
	}
}
