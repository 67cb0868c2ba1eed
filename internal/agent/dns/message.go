package dns

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// udpSize is how large an answer in one datagram may be: what passes every path without being fragmented (RFC 9715).
const udpSize = 1232

var (
	errNotAnswer = errors.New("names: not the answer to the question")
	errTruncated = errors.New("names: the answer does not fit a datagram")
	errServer    = errors.New("names: the server could not answer")
)

// question asks for a name's addresses of one family.
type question struct {
	id   uint16
	name dnsmessage.Name
	kind dnsmessage.Type
}

// pack returns the question as a message.
func (q question) pack() ([]byte, error) {
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{{Name: q.name, Type: q.kind, Class: dnsmessage.ClassINET}},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}
	return m.Pack()
}

// parse reads the answer. One that says that there is no such name, or that it has no such addresses, is records without addresses.
// errNotAnswer means that the message is none: the answer may still come.
func (q question) parse(msg []byte) (r records, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != q.id || !h.Response || h.OpCode != 0 {
		return r, errNotAnswer
	}
	asked, err := p.Question()
	if err != nil || asked.Type != q.kind || asked.Class != dnsmessage.ClassINET || !sameName(asked.Name, q.name) || p.SkipAllQuestions() != nil {
		return r, errNotAnswer
	}
	switch {
	case h.Truncated:
		return r, errTruncated
	case h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError:
		return r, errServer
	}
	s := section{aliases: map[string]alias{}}
	if err := s.read(&p); err != nil {
		return r, errServer
	}
	if r = s.addressesOf(q.name); len(r.addrs) == 0 {
		r.ttl = min(r.ttl, negativeTTL(&p))
	}
	return r, nil
}

// negativeTTL reads from an answer without addresses how long that may be believed: RFC 2308 section 5, the smaller one of the SOA
// record's own time and its MINIMUM field.
func negativeTTL(p *dnsmessage.Parser) time.Duration {
	for range maxRecords {
		h, err := p.AuthorityHeader()
		if err != nil {
			break
		}
		if h.Type != dnsmessage.TypeSOA {
			if p.SkipAuthority() != nil {
				break
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			break
		}
		return seconds(min(h.TTL, soa.MinTTL))
	}
	return 0
}

// sameName compares names as RFC 1035 section 2.3.3 has it: case does not matter.
func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }

func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 { // RFC 2181 section 8: treat it as zero
		return 0
	}
	return time.Duration(ttl) * time.Second
}
