package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

func addrPorts(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

// pinnedTo is a call's request to the address that its client chose.
func pinnedTo(original string, avoid ...string) *asking {
	r := request()
	r.Original, r.Pinned, r.Avoid = netip.MustParseAddrPort(original), true, addrPorts(avoid...)
	return r
}

func nameOf(exact bool, addrs ...string) Name {
	return Name{Addrs: addrPorts(addrs...), Until: time.Now().Add(time.Hour), Exact: exact}
}

// chosen asks and says where the request would go.
func chosen(t *testing.T, p *Pool, r *asking) string {
	t.Helper()
	if !r.granted(p) {
		t.Fatal("not granted")
	}
	defer r.cancel(p)
	return r.peer().String()
}

func TestAnotherAddressOfTheName(t *testing.T) {
	const first, second, six = "198.51.100.1:443", "198.51.100.2:443", "[2001:db8:1::1]:443"
	all := []string{first, second, six}
	for name, tc := range map[string]struct {
		name     Name
		original string
		avoid    []string
		want     []string // any of them
	}{
		"the client's comes first":              {nameOf(true, all...), first, nil, []string{first}},
		"the other family after a failure":      {nameOf(true, all...), first, []string{first}, []string{six}},
		"the first family after both":           {nameOf(true, all...), first, []string{first, six}, []string{second}},
		"from the other family to this one":     {nameOf(true, all...), six, []string{six}, []string{first, second}},
		"the client's again when all are tried": {nameOf(true, all...), first, all, []string{first}},
		"on the port of the request":            {nameOf(true, "198.51.100.1:80", "198.51.100.2:80"), first, []string{first}, []string{second}},
		"one address only":                      {nameOf(true, first), first, []string{first}, []string{first}},
		"no addresses":                          {nameOf(true), first, []string{first}, []string{first}},
		"answers that have passed": {
			Name{Addrs: addrPorts(all...), Until: time.Now().Add(-time.Second), Exact: true}, first, []string{first}, []string{first},
		},
		"an exact name whose addresses have changed": {nameOf(true, second), first, []string{first}, []string{second}},
		"a pattern's name that the client did not go to": {
			nameOf(false, second, six), first, []string{first}, []string{first},
		},
		"a pattern's name that it did go to": {nameOf(false, first, second), first, []string{first}, []string{second}},
		"outside never leads inside":         {nameOf(true, first, "10.0.0.1:443"), first, []string{first}, []string{first}},
		"nor to the machine itself":          {nameOf(true, first, "127.0.0.1:443", "[::1]:443", "169.254.169.254:443"), first, []string{first}, []string{first}},
		"nor by way of a translation":        {nameOf(true, first, "[64:ff9b::10.0.0.1]:443", "[2002:a00:1::]:443"), first, []string{first}, []string{first}},
		"inside may lead outside":            {nameOf(false, "10.0.0.1:443", six), "10.0.0.1:443", []string{"10.0.0.1:443"}, []string{six}},
		"but not from a double of the server": {
			nameOf(true, first, six), "10.0.0.1:443", []string{"10.0.0.1:443"}, []string{"10.0.0.1:443"},
		},
		"nothing replaces an address of the machine": {
			nameOf(true, "127.0.0.1:443", first), "127.0.0.1:443", []string{"127.0.0.1:443"}, []string{"127.0.0.1:443"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, nil)
			p.cluster.SetName(tc.name)
			if got := chosen(t, p, pinnedTo(tc.original, tc.avoid...)); !slices.Contains(tc.want, got) {
				t.Errorf("%s, want one of %v", got, tc.want)
			}
			checkSums(t, p)
		})
	}
}

func TestAnAddressThatCannotBeConnectedToIsLeftOutForAWhile(t *testing.T) {
	const first, second = "198.51.100.1:443", "198.51.100.2:443"
	p, d := newPool(t, nil)
	p.cluster.SetName(nameOf(true, first, second))
	d.err = syscall.ECONNREFUSED
	r := pinnedTo(first)
	r.ask(p)
	if _, err := p.Dial(t.Context(), &r.Request); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	if got := chosen(t, p, pinnedTo(first)); got != second {
		t.Errorf("the next call goes to %s", got)
	}
	p.sweep(time.Now())
	if got := chosen(t, p, pinnedTo(first)); got != second {
		t.Errorf("after a sweep the next call goes to %s", got)
	}
	checkSums(t, p)
	later := time.Now().Add(minOutage)
	r = pinnedTo(first)
	r.askAt(p, later)
	if got := r.peer().String(); got != first {
		t.Errorf("when the outage may be over, a call goes to %s", got)
	}
	again := pinnedTo(first)
	again.askAt(p, later)
	if got := again.peer().String(); got != second {
		t.Errorf("meanwhile another one goes to %s", got)
	}
	r.cancel(p)
	again.cancel(p)
	p.sweep(time.Now().Add(time.Hour))
	checkSums(t, p)
	if len(p.unlisted) != 0 {
		t.Errorf("%d addresses are kept", len(p.unlisted))
	}
}

func TestAConnectThatSucceedsEndsAnOutageOfAnAddress(t *testing.T) {
	s := listen(t)
	p, d := newPool(t, nil)
	p.cluster.SetName(Name{Addrs: []netip.AddrPort{s.addr}, Until: time.Now().Add(time.Hour), Exact: true})
	ask := func() *asking {
		r := request()
		r.Original, r.Pinned = s.addr, true
		return r
	}
	r := ask()
	d.err = syscall.ECONNREFUSED
	r.ask(p)
	if _, err := p.Dial(t.Context(), &r.Request); err == nil {
		t.Fatal("no error")
	}
	d.err = nil
	l := take(t, p, ask())
	if len(p.down) != 0 {
		t.Errorf("still down: %v", p.down)
	}
	l.Release(time.Now(), true)
	l = take(t, p, ask())
	if !l.Reused() || l.Peek() != transport.Quiet {
		t.Error("the connection was not used again")
	}
	l.Release(time.Now(), false)
	checkSums(t, p)
}

func TestParkedRequestsLearnOfAddresses(t *testing.T) {
	const first, second = "198.51.100.1:443", "198.51.100.2:443"
	p, _ := newPool(t, func(s *setup) { s.Limits.MaxConnectionsPerEndpoint, s.Limits.MaxPending = 1, 1 })
	one, two := pinnedTo(first), pinnedTo(first, first)
	one.ask(p)
	if a := two.ask(p); a != Parked {
		t.Fatalf("answer %d", a)
	}
	p.cluster.SetName(nameOf(true, first, second))
	<-two.woken
	if a, _ := p.Redeem(time.Now(), &two.Request); a != Dial {
		t.Errorf("answer %d", a)
	}
	if got := two.peer().String(); got != second {
		t.Errorf("it goes to %s", got)
	}
	one.cancel(p)
	two.cancel(p)
}

func TestReach(t *testing.T) {
	for addr, want := range map[string]reach{
		"1.1.1.1": global, "2606:4700::1111": global, "::ffff:1.1.1.1": global, "10.1.2.3": private, "172.16.0.1": private, "192.168.0.1": private,
		"100.64.0.1": private, "fd00::1": private, "fec0::1": private, "64:ff9b::1.1.1.1": global, "64:ff9b::10.0.0.1": private, "64:ff9b:1::1": private,
		"2002:0a00:0001::1": private, "2002:7f00:0001::1": own, "127.0.0.1": own, "::1": own, "169.254.169.254": own, "fe80::1": own, "0.0.0.0": own,
		"0.1.2.3": own, "255.255.255.255": own, "240.0.0.1": own, "224.0.0.1": own, "ff02::1": own, "::": own, "::ffff:127.0.0.1": own,
	} {
		if got := reachOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
}
