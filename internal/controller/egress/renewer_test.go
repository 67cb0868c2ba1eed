package egress

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a cluster and the nodes' issuers.
type world struct {
	data       map[string][]byte
	revision   int
	fail       error
	beforeSave func()

	cluster    string
	namespaces map[string]string
	demands    []Demand
	asking     []string
	issuers    map[string]*Issuer
	issued     int
	events     []string
}

func (w *world) Load(context.Context) (map[string][]byte, string, error) {
	return w.data, fmt.Sprint(w.revision), w.fail
}

func (w *world) Save(_ context.Context, data map[string][]byte, revision string) error {
	if f := w.beforeSave; f != nil {
		w.beforeSave = nil
		f()
	}
	if revision != fmt.Sprint(w.revision) {
		return ca.ErrConflict
	}
	w.data, w.revision = data, w.revision+1
	return nil
}

func (w *world) Publish(_ context.Context, bundle []byte) error {
	w.cluster = string(bundle)
	return nil
}
func (w *world) PublishIn(_ context.Context, ns string, bundle []byte) error {
	w.namespaces[ns] = string(bundle)
	return nil
}
func (w *world) Withdraw(_ context.Context, ns string) error { delete(w.namespaces, ns); return nil }

func newWorld() (*world, *Renewer) {
	w := &world{namespaces: map[string]string{}, issuers: map[string]*Issuer{}}
	return w, w.renewer()
}

// renewer is one that knows nothing yet, as after a start.
func (w *world) renewer() *Renewer {
	return New(Options{
		Storage: w, Publisher: w, Demands: func() []Demand { return w.demands }, Namespaces: func() []string { return w.asking },
		Issued: func(fresh map[string]*Issuer) error { maps.Copy(w.issuers, fresh); w.issued += len(fresh); return nil },
		Event:  func(_ bool, reason, note string) { w.events = append(w.events, reason+" "+note) },
	})
}

func (w *world) refresh(t *testing.T, k *Renewer, now time.Time) {
	t.Helper()
	if err := k.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// leaf signs a certificate for a host with a node's issuer, as agents do.
func (w *world) leaf(t *testing.T, node, host string, now time.Time) (leaf *x509.Certificate, chain []*x509.Certificate) {
	t.Helper()
	i := w.issuers[node]
	if i == nil {
		t.Fatalf("%s has no issuer", node)
	}
	for _, der := range i.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	key, err := x509.ParsePKCS8PrivateKey(i.Key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{host}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, chain[0], key.(crypto.Signer).Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return leaf, chain
}

// trusts says whether a pod that trusts a bundle takes a node for a host.
func (w *world) trusts(t *testing.T, bundle, node, host string, now time.Time) error {
	t.Helper()
	leaf, chain := w.leaf(t, node, host, now)
	opts := x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	opts.Roots.AppendCertsFromPEM([]byte(bundle))
	for _, c := range chain {
		opts.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(opts)
	return err
}

func TestNothingIsMadeThatNobodyNeeds(t *testing.T) {
	w, k := newWorld()
	w.refresh(t, k, noon)
	if w.data != nil || w.cluster != "" || k.Expires() != 0 {
		t.Error("an authority was made that nobody needs")
	}
}

func TestNodesGetIssuersForTheirHostsAlone(t *testing.T) {
	w, k := newWorld()
	w.demands = []Demand{{"node-1", []string{"*.b.example", "a.example"}}, {"node-2", []string{"*"}}}
	w.asking = []string{"shop"}
	w.refresh(t, k, noon)
	for _, bundle := range []string{w.cluster, w.namespaces["shop"]} {
		for _, tc := range []struct {
			node, host string
			ok         bool
		}{
			{"node-1", "a.example", true}, {"node-1", "x.b.example", true}, {"node-1", "c.example", false}, {"node-2", "c.example", true},
		} {
			if err := w.trusts(t, bundle, tc.node, tc.host, noon); (err == nil) != tc.ok {
				t.Errorf("%s for %s: %v", tc.node, tc.host, err)
			}
		}
	}
	_, chain := w.leaf(t, "node-1", "a.example", noon)
	if c := chain[0]; len(chain) != 1 || !c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero || c.NotAfter.Sub(noon) != issuerLife || len(c.ExcludedIPRanges) != 2 {
		t.Errorf("chain of %d, %+v", len(chain), chain[0])
	}
	if strings.Contains(w.cluster+w.namespaces["shop"], "PRIVATE") {
		t.Error("a key is published")
	}
	if bytes.Contains(w.data[managedEntry], w.issuers["node-1"].Key) || bytes.Equal(w.issuers["node-1"].Key, w.issuers["node-2"].Key) {
		t.Error("nodes share a key")
	}
}

func TestIssuersAreRenewedAndFollowTheirHosts(t *testing.T) {
	w, k := newWorld()
	w.demands = []Demand{{"node-1", []string{"a.example"}}, {"node-2", []string{"a.example"}}}
	w.refresh(t, k, noon)
	first := w.issuers["node-1"]
	w.refresh(t, k, noon.Add(issuerLife/2))
	if w.issued != 2 {
		t.Errorf("%d issuers in half a life", w.issued)
	}
	w.demands[0].Hosts = []string{"a.example", "b.example"}
	w.refresh(t, k, noon.Add(issuerLife/2))
	if w.issued != 3 || w.issuers["node-1"] == first {
		t.Errorf("%d issuers, though a node has another host", w.issued)
	}
	w.refresh(t, k, noon.Add(issuerLife*2/3))
	if w.issued != 4 {
		t.Errorf("%d issuers after two thirds of a life", w.issued)
	}
	w.demands = w.demands[:1]
	w.refresh(t, k, noon.Add(issuerLife*2/3))
	w.demands = append(w.demands, Demand{"node-2", []string{"a.example"}})
	w.refresh(t, k, noon.Add(issuerLife*2/3))
	if w.issued != 5 {
		t.Errorf("%d issuers: a node that came back needs one", w.issued)
	}
	// A manager that comes to lead has none of the keys.
	w.refresh(t, w.renewer(), noon.Add(issuerLife*2/3))
	if w.issued != 7 {
		t.Errorf("%d issuers after a change of the leader", w.issued)
	}
}

// Whoever read what is trusted half a year ago still trusts what is shown.
func TestTheAuthorityIsRotatedWithOverlap(t *testing.T) {
	w, k := newWorld()
	w.demands = []Demand{{"node-1", []string{"a.example"}}}
	const day = 24 * time.Hour
	var bundles []string // by day
	for d := range 6 * 365 {
		now := noon.Add(time.Duration(d) * day)
		w.refresh(t, k, now)
		bundles = append(bundles, w.cluster)
		if d%30 > 0 {
			continue
		}
		for _, ago := range []int{0, 30, 179} {
			if d < ago {
				continue
			}
			if err := w.trusts(t, bundles[d-ago], "node-1", "a.example", now); err != nil {
				t.Fatalf("day %d, with what was read %d days before: %v", d, ago, err)
			}
		}
	}
	if n := strings.Count(strings.Join(w.events, "\n"), EventRotated); n < 2 {
		t.Errorf("%d rotations in six years: %v", n, w.events)
	}
	if k.Expires() == 0 {
		t.Error("the metric shows no authority")
	}
}

func TestReplicasAgreeOnOneAuthority(t *testing.T) {
	w, k := newWorld()
	w.demands = []Demand{{"node-1", []string{"a.example"}}}
	w.beforeSave = func() { w.refresh(t, w.renewer(), noon) }
	w.refresh(t, k, noon)
	as, err := ca.Parse(w.data[managedEntry])
	if err != nil || len(as) != 1 || string(as.Bundle()) != w.cluster {
		t.Errorf("%d authorities, %v", len(as), err)
	}
}

func TestTheBundleFollowsTheNamespaces(t *testing.T) {
	w, k := newWorld()
	w.asking = []string{"a", "b"}
	w.refresh(t, k, noon)
	if w.namespaces["a"] == "" || w.namespaces["b"] != w.cluster {
		t.Error("it is not published")
	}
	w.asking = []string{"b", "c"}
	w.refresh(t, k, noon)
	if got := slices.Sorted(maps.Keys(w.namespaces)); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("in %v", got)
	}
	w.namespaces["b"] = "somebody has changed it"
	w.refresh(t, k, noon.Add(repeatInterval))
	if w.namespaces["b"] != w.cluster {
		t.Error("it is not put right")
	}
}

func TestAnOutageStopsNoIssuers(t *testing.T) {
	w, k := newWorld()
	w.demands = []Demand{{"node-1", []string{"a.example"}}}
	w.refresh(t, k, noon)
	w.fail = errors.New("down")
	if err := k.Refresh(t.Context(), noon.Add(issuerLife)); err == nil {
		t.Error("the outage is not returned")
	}
	if w.issued != 2 {
		t.Errorf("%d issuers", w.issued)
	}
	_ = k.Refresh(t.Context(), noon.Add(managed.Lifetime-24*time.Hour))
	if len(w.events) != 1 || !strings.HasPrefix(w.events[0], EventExpiresSoon) || !strings.HasSuffix(w.events[0], "its successor could not be made: see the manager's log.") {
		t.Errorf("events %q", w.events)
	}
}

func TestPermittedDomains(t *testing.T) {
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf("host-%d.long.example.com", i))
	}
	for name, tc := range map[string]struct{ hosts, want []string }{
		"names and wildcards": {[]string{"*.b.example", "a.example", "b.example"}, []string{"a.example", "b.example"}},
		"within another":      {[]string{"*.example", "a.example", "x.y.a.example", "other"}, []string{"example", "other"}},
		"every host":          {[]string{"*", "a.example"}, nil},
		"too many":            {many, nil},
	} {
		if got := permitted(tc.hosts); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
