package nft_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// datagrams opens a UDP socket in a namespace: one that is connected to an address, or one that listens at it.
func datagrams(t testing.TB, n *netnstest.Net, to netip.AddrPort, open func(string, *net.UDPAddr) (*net.UDPConn, error)) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(func() (err error) {
		network := "udp4"
		if to.Addr().Is6() {
			network = "udp6"
		}
		c, err = open(network, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echoDatagrams answers datagrams with themselves.
func echoDatagrams(t testing.TB, n *netnstest.Net, at netip.AddrPort) {
	t.Helper()
	c := datagrams(t, n, at, func(network string, a *net.UDPAddr) (*net.UDPConn, error) { return net.ListenUDP(network, a) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
}

// flow is one client's flow of datagrams.
type flow struct{ *net.UDPConn }

func newFlow(t testing.TB, n *netnstest.Net, to string) flow {
	t.Helper()
	return flow{datagrams(t, n, netip.MustParseAddrPort(to), func(network string, a *net.UDPAddr) (*net.UDPConn, error) {
		return net.DialUDP(network, nil, a)
	})}
}

// answered reports whether a datagram is answered, or else refused at once.
func (f flow) answered(t testing.TB) bool {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := f.Write([]byte("hello"))
	if err == nil {
		_, err = f.Read(make([]byte, 64))
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.Fatal("a datagram was neither answered nor refused")
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.EPERM):
		t.Fatal(err)
	}
	return false
}

func TestQUICIsRejected(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, out := netnstest.Pair(t, host)
	for _, at := range []string{"10.99.0.1:443", "10.99.0.2:443", "10.99.0.1:53"} {
		echoDatagrams(t, out, netip.MustParseAddrPort(at))
	}
	block := intent.QUIC{Blocks: []intent.Block{{Prefix: netip.MustParsePrefix("10.99.0.0/24"), Except: prefixes("10.99.0.2/32")}}}
	for name, tc := range map[string]struct {
		redirect           intent.Redirect
		rejected, answered []string
		counted            uint64
	}{
		"not asked for":   {redirect: intent.Redirect{Ports: []uint16{443}}, answered: []string{"10.99.0.1:443", "10.99.0.1:53"}, counted: 1},
		"nothing to meet": {redirect: intent.Redirect{Ports: []uint16{80}}, answered: []string{"10.99.0.1:443"}},
		"everywhere": {
			redirect: intent.Redirect{Ports: []uint16{443}, RejectQUIC: intent.QUIC{All: true}}, rejected: []string{"10.99.0.1:443", "[fd99::1]:443"},
			answered: []string{"10.99.0.1:53"},
		},
		"a block": {
			redirect: intent.Redirect{All: true, RejectQUIC: block}, rejected: []string{"10.99.0.1:443"}, answered: []string{"10.99.0.2:443"}, counted: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := open(t, pod, options("one"))
			install(t, table, tc.redirect)
			defer func() { check(t, table.Remove()) }()
			for _, to := range tc.answered {
				f := newFlow(t, pod, to)
				for range 3 { // a flow is counted once
					if !f.answered(t) {
						t.Errorf("%s is rejected", to)
					}
				}
			}
			for _, to := range tc.rejected {
				f := newFlow(t, pod, to)
				for range 3 {
					if f.answered(t) {
						t.Errorf("%s is answered", to)
					}
				}
			}
			if n, err := table.QUIC(); err != nil || n != tc.counted {
				t.Errorf("counted %d, %v; want %d", n, err, tc.counted)
			}
			if whole, err := table.Intact(); err != nil || !whole {
				t.Errorf("the table is not as it was written: %v, %v", whole, err)
			}
		})
	}
}

// An agent that is gone rejects nothing, unless the pod fails closed.
func TestQUICIsRejectedAsLongAsTheLeaseLasts(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, out := netnstest.Pair(t, host)
	echoDatagrams(t, out, netip.MustParseAddrPort("10.99.0.1:443"))
	for _, closed := range []bool{false, true} {
		table := open(t, pod, options("one"))
		install(t, table, intent.Redirect{Ports: []uint16{443}, FailClosed: closed, RejectQUIC: intent.QUIC{All: true}})
		if newFlow(t, pod, "10.99.0.1:443").answered(t) {
			t.Error("not rejected")
		}
		check(t, table.Yield())
		if got := newFlow(t, pod, "10.99.0.1:443").answered(t); got == closed {
			t.Errorf("fails closed %v: answered %v without an agent", closed, got)
		}
		check(t, table.Remove())
	}
}

// What is counted stays when other things are redirected.
func TestQUICIsCountedOn(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, out := netnstest.Pair(t, host)
	echoDatagrams(t, out, netip.MustParseAddrPort("10.99.0.1:443"))
	table := open(t, pod, options("one"))
	for i, r := range []intent.Redirect{{Ports: []uint16{443}}, {Ports: []uint16{80, 443}}, {All: true}} {
		install(t, table, r)
		newFlow(t, pod, "10.99.0.1:443").answered(t)
		if n, err := table.QUIC(); err != nil || n != uint64(i+1) {
			t.Errorf("counted %d, %v; want %d", n, err, i+1)
		}
	}
	check(t, table.Remove())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
