package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// resolve asks for the addresses of both families together. What one question has found counts though the other has failed: then it is
// asked again soon.
func (r *Resolver) resolve(ctx context.Context, name string) (answer, error) {
	absolute, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return answer{until: time.Now().Add(negativeFor)}, nil // no name of the DNS, so it has no addresses there
	}
	servers, err := r.servers()
	if err != nil {
		return answer{until: time.Now().Add(failedFor)}, err
	}
	var found [2]records
	var failed [2]error
	var both sync.WaitGroup
	for i, kind := range [...]dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		both.Go(func() {
			failed[i] = r.guard(func() (err error) {
				found[i], err = r.ask(ctx, servers, question{newID(), absolute, kind})
				return err
			})
		})
	}
	both.Wait()
	return merge(found, failed, time.Now())
}

// merge makes one answer of those of both families.
func merge(found [2]records, failed [2]error, now time.Time) (a answer, err error) {
	lasts := maxTTL
	for i := range found {
		if failed[i] != nil {
			lasts, err = failedFor, failed[i]
			continue
		}
		for _, addr := range found[i].addrs {
			if !slices.Contains(a.addrs, addr) {
				a.addrs = append(a.addrs, addr)
			}
		}
		if len(found[i].addrs) > 0 {
			lasts = min(lasts, max(found[i].ttl, minTTL))
		}
	}
	if len(a.addrs) > 0 {
		a.until = now.Add(lasts)
		return a, nil
	}
	if err == nil { // a name without any addresses
		lasts = min(max(min(found[0].ttl, found[1].ttl), minTTL), negativeFor)
	}
	a.until = now.Add(lasts)
	return a, err
}

func (r *Resolver) servers() ([]netip.AddrPort, error) {
	if len(r.options.Servers) > 0 {
		return r.options.Servers, nil
	}
	servers, err := readServers(r.options.File)
	if err == nil && len(servers) == 0 {
		err = errNoServers
	}
	return servers, err
}

// newID draws the ID of a question, which nobody must be able to guess.
func newID() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}
