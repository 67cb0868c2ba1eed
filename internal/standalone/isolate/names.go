//go:build linux

package isolate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

const (
	// maxMessage is the largest message of the DNS.
	maxMessage = 64 << 10
	// maxQuestions is how many are under way at a time; what comes beyond is asked again by its asker.
	maxQuestions = 256
	// answerWait is how long a resolver may take; it is asked as long as askers wait.
	answerWait = 5 * time.Second
	// portsToTry bounds the search for a port that is free for both UDP and TCP.
	portsToTry = 16
)

// names answers the namespace's questions to the DNS.
type names struct {
	// immutable
	port      uint16
	resolvers []netip.AddrPort
	address   func(string) (netip.Addr, bool)
	udp       []*net.UDPConn
	tcp       []*net.TCPListener
	slots     chan struct{}

	serving sync.WaitGroup
}

// listenForNames listens at one port of the namespace's loopback, of both families and protocols.
func listenForNames(ns *netns.Namespace, o *Options) (*names, error) {
	resolvers, err := o.Resolvers, error(nil)
	if resolvers == nil {
		if resolvers, err = resolversOf("/etc/resolv.conf"); err != nil {
			return nil, err
		}
	}
	for range portsToTry {
		n := &names{resolvers: resolvers, address: o.Address, slots: make(chan struct{}, maxQuestions)}
		if err = n.listen(ns); err == nil {
			return n, nil
		}
		n.close()
	}
	return nil, err
}

func (n *names) listen(ns *netns.Namespace) error {
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} {
		err := ns.Do(func() error {
			u, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: int(n.port)})
			if err != nil {
				return err
			}
			n.udp = append(n.udp, u)
			n.port = uint16(u.LocalAddr().(*net.UDPAddr).Port)
			t, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: int(n.port)})
			if err != nil {
				return err
			}
			n.tcp = append(n.tcp, t)
			return nil
		})
		if err != nil && (ip.To4() != nil || len(n.udp) > len(n.tcp)) { // IPv6 may be off
			return err
		}
	}
	return nil
}

func (n *names) close() {
	for _, u := range n.udp {
		_ = u.Close()
	}
	for _, t := range n.tcp {
		_ = t.Close()
	}
}

// serve answers until close, or ctx ends.
func (n *names) serve(ctx context.Context) {
	for _, u := range n.udp {
		n.serving.Go(func() { n.serveUDP(ctx, u) })
	}
	for _, t := range n.tcp {
		n.serving.Go(func() { n.serveTCP(ctx, t) })
	}
	<-ctx.Done()
	n.close()
	n.serving.Wait()
}

func (n *names) serveUDP(ctx context.Context, u *net.UDPConn) {
	buf := make([]byte, maxMessage)
	for {
		size, from, err := u.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a former answer, that nobody has waited for it
		}
		question := append([]byte(nil), buf[:size]...)
		n.begin(func() {
			if answer := n.answer(ctx, "udp", question); answer != nil {
				_, _ = u.WriteToUDPAddrPort(answer, from) // its asker asks again
			}
		})
	}
}

// begin does something in a goroutine of its own, unless there are too many.
func (n *names) begin(f func()) {
	select {
	case n.slots <- struct{}{}:
		n.serving.Go(func() { defer func() { <-n.slots }(); f() })
	default:
	}
}

func (n *names) serveTCP(ctx context.Context, t *net.TCPListener) {
	for {
		c, err := t.Accept()
		if err != nil {
			return
		}
		n.begin(func() {
			defer func() { _ = c.Close() }()
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			for c.SetDeadline(time.Now().Add(2*answerWait)) == nil {
				question, err := readFrame(c)
				if err != nil {
					return
				}
				answer := n.answer(ctx, "tcp", question)
				if answer == nil || writeFrame(c, answer) != nil {
					return
				}
			}
		})
	}
}

// answer answers a question: by what is known here, or as a resolver does. Nil: nobody has.
func (n *names) answer(ctx context.Context, network string, question []byte) []byte {
	if known := n.known(question); known != nil {
		return known
	}
	for _, r := range n.resolvers {
		if answer, err := ask(ctx, network, r, question); err == nil {
			return answer
		}
	}
	return nil
}

// known answers a question about a name that is known here; nil: it is not.
func (n *names) known(question []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil || n.address == nil {
		return nil
	}
	q, err := p.Question()
	if err != nil || q.Class != dnsmessage.ClassINET {
		return nil
	}
	a, ok := n.address(strings.TrimSuffix(strings.ToLower(q.Name.String()), "."))
	if !ok {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	if q.Type == dnsmessage.TypeA && a.Is4() {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 1}, Body: &dnsmessage.AResource{A: a.As4()},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// ask asks a resolver.
func ask(ctx context.Context, network string, at netip.AddrPort, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if network == "tcp" {
		if err := writeFrame(c, question); err != nil {
			return nil, err
		}
		return readFrame(c)
	}
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	size, err := c.Read(buf)
	return buf[:size], err
}

// readFrame and writeFrame are how messages travel on connections (RFC 1035 section 4.2.2).
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeFrame(w io.Writer, message []byte) error {
	if len(message) >= maxMessage {
		return fmt.Errorf("%d bytes are no message of the DNS", len(message))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

// resolversOf reads the name servers of a file (resolv.conf(5)); without any it is this machine.
func resolversOf(file string) (out []netip.AddrPort, err error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, dnsPort))
		}
	}
	if len(out) == 0 {
		out = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return out, nil
}
