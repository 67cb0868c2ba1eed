package dns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a name server on one port of UDP and TCP.
type server struct {
	addr netip.AddrPort
	// answer makes an answer of a question; nil: none is sent. tcp says how it was asked.
	answer func(q dnsmessage.Question, tcp bool) *dnsmessage.Message
	asked  atomic.Int64 // questions
}

// serve starts a name server.
func serve(t testing.TB, answer func(q dnsmessage.Question, tcp bool) *dnsmessage.Message) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: netip.MustParseAddrPort(l.Addr().String()), answer: answer}
	var wg sync.WaitGroup
	wg.Go(func() { s.datagrams(p) })
	wg.Go(func() { s.streams(l) })
	t.Cleanup(func() {
		l.Close()
		p.Close()
		wg.Wait()
	})
	return s
}

func (s *server) datagrams(p net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		if b := s.reply(buf[:n], false); b != nil {
			_, _ = p.WriteTo(b, from)
		}
	}
}

func (s *server) streams(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var length [2]byte
		_, _ = io.ReadFull(c, length[:])
		q := make([]byte, binary.BigEndian.Uint16(length[:]))
		_, _ = io.ReadFull(c, q)
		if b := s.reply(q, true); b != nil {
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
		}
		c.Close()
	}
}

func (s *server) reply(b []byte, tcp bool) []byte {
	var q dnsmessage.Message
	if q.Unpack(b) != nil || len(q.Questions) != 1 {
		return nil
	}
	s.asked.Add(1)
	m := s.answer(q.Questions[0], tcp)
	if m == nil {
		return nil
	}
	m.ID, m.Response = q.ID, true
	if m.Questions == nil {
		m.Questions = q.Questions
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

func header(name string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}
}

func addressRecord(name, addr string, ttl uint32) dnsmessage.Resource {
	a := netip.MustParseAddr(addr)
	if a.Is4() {
		return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.AResource{A: a.As4()}}
	}
	return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}
}

func aliasRecord(name, to string, ttl uint32) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}}
}

func startRecord(name string, ttl, minimum uint32) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.SOAResource{
		NS: dnsmessage.MustNewName("ns."), MBox: dnsmessage.MustNewName("mail."), MinTTL: minimum,
	}}
}

// holding answers with the records that are of the family that is asked for, and aliases.
func holding(records ...dnsmessage.Resource) func(dnsmessage.Question, bool) *dnsmessage.Message {
	return func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		m := &dnsmessage.Message{}
		for _, r := range records {
			switch r.Body.(type) {
			case *dnsmessage.AResource:
				if q.Type != dnsmessage.TypeA {
					continue
				}
			case *dnsmessage.AAAAResource:
				if q.Type != dnsmessage.TypeAAAA {
					continue
				}
			case *dnsmessage.SOAResource:
				m.Authorities = append(m.Authorities, r)
				continue
			}
			m.Answers = append(m.Answers, r)
		}
		return m
	}
}
