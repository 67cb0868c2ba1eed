package dns

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxAddrs is how many addresses of a name are kept, of each family.
	maxAddrs = 16
	// maxRecords is how many records of an answer are looked at.
	maxRecords = 128
	// maxAliases is how many aliases (CNAME) may lead from a name to its addresses.
	maxAliases = 16
)

// records are what a question has found.
type records struct {
	addrs []netip.Addr
	// ttl is how long that may be believed; that there are no addresses, too.
	ttl time.Duration
}

// alias is a CNAME record.
type alias struct {
	to  string
	ttl time.Duration
}

// address is an A or AAAA record.
type address struct {
	owner string
	addr  netip.Addr
	ttl   time.Duration
}

// section is the answer section of a message. Names in it are lower case.
type section struct {
	aliases   map[string]alias
	addresses []address
}

// read reads the section; records that are of no use are passed over.
func (s *section) read(p *dnsmessage.Parser) error {
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.record(p, h); err != nil {
			return err
		}
	}
	return p.SkipAllAnswers()
}

func (s *section) record(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
	owner, ttl := strings.ToLower(h.Name.String()), seconds(h.TTL)
	if h.Class != dnsmessage.ClassINET {
		return p.SkipAnswer()
	}
	switch h.Type {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		s.addresses = append(s.addresses, address{owner, netip.AddrFrom4(r.A), ttl})
		return err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		s.addresses = append(s.addresses, address{owner, netip.AddrFrom16(r.AAAA).Unmap(), ttl})
		return err
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		if _, known := s.aliases[owner]; !known {
			s.aliases[owner] = alias{strings.ToLower(r.CNAME.String()), ttl}
		}
		return err
	default:
		return p.SkipAnswer()
	}
}

// addressesOf returns the addresses of a name, found by way of its aliases. Records of other names are not the name's.
func (s *section) addressesOf(name dnsmessage.Name) records {
	r := records{ttl: maxTTL}
	owner := strings.ToLower(name.String())
	for range maxAliases {
		a, ok := s.aliases[owner]
		if !ok {
			break
		}
		owner, r.ttl = a.to, min(r.ttl, a.ttl)
	}
	for _, a := range s.addresses {
		if a.owner == owner && len(r.addrs) < maxAddrs {
			r.addrs, r.ttl = append(r.addrs, a.addr), min(r.ttl, a.ttl)
		}
	}
	return r
}
