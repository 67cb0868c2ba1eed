package dns

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// No message makes more of itself than the bounds allow.
func FuzzParse(f *testing.F) {
	name := dnsmessage.MustNewName("api.example.")
	for _, records := range [][]dnsmessage.Resource{
		{addressRecord("api.example.", "192.0.2.1", 60)}, {aliasRecord("api.example.", "b.example.", 1), addressRecord("b.example.", "2001:db8::1", 1)},
		{startRecord("example.", 1, 1)},
	} {
		m := holding(records...)(dnsmessage.Question{Name: name, Type: dnsmessage.TypeA}, false)
		m.ID, m.Response = 7, true
		m.Questions = []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q := question{7, name, dnsmessage.TypeA}
		r, err := q.parse(b)
		if len(r.addrs) > maxAddrs || r.ttl < 0 || r.ttl > maxTTL || err != nil && len(r.addrs) > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
