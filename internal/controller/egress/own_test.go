package egress

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// own is an authority of a user's own: a root, and what it signed, which is an authority too unless it is spoilt.
func own(t *testing.T, until time.Time, spoil func(*x509.Certificate)) (data map[string][]byte, root string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	base := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon.Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLen: -1}
	rootTemplate, template := base, base
	rootTemplate.Subject, template.Subject = pkix.Name{CommonName: "corporate root"}, pkix.Name{CommonName: "corporate egress"}
	if spoil != nil {
		spoil(&template)
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, &rootTemplate, &rootTemplate, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &rootTemplate, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	root = string(block("CERTIFICATE", rootDER))
	return map[string][]byte{chainEntry: block("CERTIFICATE", der), keyEntry: block("PRIVATE KEY", secret), bundleEntry: []byte(root)}, root
}

func TestAUsersOwnAuthorityIsUsedAndNotWritten(t *testing.T) {
	w, k := newWorld()
	var root string
	w.data, root = own(t, noon.Add(300*24*time.Hour), nil)
	before := maps.Clone(w.data)
	w.demands = []Demand{{"node-1", []string{"a.example"}}}
	w.refresh(t, k, noon)
	if w.cluster != root {
		t.Error("what is published is not the user's root")
	}
	if err := w.trusts(t, root, "node-1", "a.example", noon); err != nil {
		t.Error(err)
	}
	if w.revision != 0 || !maps.EqualFunc(before, w.data, bytes.Equal) {
		t.Error("it was written")
	}
	w.refresh(t, k, noon.Add(280*24*time.Hour))
	w.refresh(t, k, noon.Add(281*24*time.Hour))
	if len(w.events) != 1 || !strings.HasPrefix(w.events[0], EventExpiresSoon+" The egress CA in Secret fairlead-egress-ca ends on 2031-03-28") {
		t.Errorf("events %q", w.events)
	}
}

func TestAnAuthorityThatCannotSignIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*x509.Certificate)
		want  string
	}{
		"no authority":     {func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, 0 }, "no authority's"},
		"another use":      {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "may not sign"},
		"no intermediates": {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, "path length 0"},
		"expired":          {func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) }, "valid from"},
	} {
		t.Run(name, func(t *testing.T) {
			w, k := newWorld()
			w.demands = []Demand{{"node-1", []string{"a.example"}}}
			w.refresh(t, k, noon)
			good := w.cluster
			w.data, _ = own(t, noon.Add(time.Hour), tc.spoil)
			if err := k.Refresh(t.Context(), noon); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v", err)
			}
			if len(w.events) != 1 || !strings.HasPrefix(w.events[0], EventInvalid) || w.cluster != good {
				t.Errorf("events %v", w.events)
			}
			// The one before goes on signing, for new nodes too.
			w.demands = append(w.demands, Demand{"node-2", []string{"a.example"}})
			_ = k.Refresh(t.Context(), noon)
			if err := w.trusts(t, good, "node-2", "a.example", noon); err != nil {
				t.Error(err)
			}
			if len(w.events) != 1 {
				t.Errorf("it is said again: %v", w.events)
			}
		})
	}
}

func TestAnotherKeyOrAnotherRootIsRefused(t *testing.T) {
	mine, _ := own(t, noon.Add(time.Hour), nil)
	other, otherRoot := own(t, noon.Add(time.Hour), nil)
	for name, spoil := range map[string]func(map[string][]byte){
		"the key is another's":      func(d map[string][]byte) { d[keyEntry] = other[keyEntry] },
		"the root is another's":     func(d map[string][]byte) { d[bundleEntry] = []byte(otherRoot) },
		"a key among the roots":     func(d map[string][]byte) { d[bundleEntry] = append(slices.Clone(d[bundleEntry]), d[keyEntry]...) },
		"no certificate among them": func(d map[string][]byte) { d[bundleEntry] = []byte("text") },
	} {
		data := maps.Clone(mine)
		spoil(data)
		if _, err := ownAuthority(data, noon); err == nil || strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s: %v", name, err)
		}
	}
	delete(mine, bundleEntry)
	if a, err := ownAuthority(mine, noon); err != nil || !bytes.Equal(a.bundle, mine[chainEntry]) {
		t.Errorf("without a bundle the certificate itself is trusted: %v", err)
	}
}
