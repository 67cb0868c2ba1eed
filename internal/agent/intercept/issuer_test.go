package intercept

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newIssuer(t testing.TB, pair *tls.Certificate) *Issuer {
	t.Helper()
	i, err := New(pair)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// leafFor returns the certificate that is shown for a name.
func leafFor(t testing.TB, i *Issuer, name, protocol string, now time.Time) *tls.Certificate {
	t.Helper()
	config, err := i.Config("pod", name, protocol, now)
	if err != nil {
		t.Fatal(err)
	}
	return &config.Certificates[0]
}

// Whoever trusts the authority trusts a certificate for its one name, with what comes with it, and for nothing else.
func TestACertificateIsForOneName(t *testing.T) {
	a := tlstest.New(t)
	i := newIssuer(t, a.Issuer(nil, "tax.example"))
	now := time.Now()
	for _, name := range []string{"tax.example", "api.tax.example", "a_b.x-1.tax.example", strings.Repeat("a", 63) + ".long.tax.example"} {
		cert := leafFor(t, i, name, "http/1.1", now)
		between := x509.NewCertPool()
		for _, der := range cert.Certificate[1:] {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			between.AddCert(c)
		}
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		opts := x509.VerifyOptions{Roots: a.Pool(), Intermediates: between, DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if _, err := leaf.Verify(opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() || leaf.IsCA || !slices.Equal(leaf.DNSNames, []string{name}) || len(leaf.IPAddresses) > 0 ||
			leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 1 {
			t.Errorf("%s: %+v", name, leaf)
		}
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if _, err := leaf.Verify(opts); err == nil {
			t.Errorf("%s: it is good for clients", name)
		}
	}
}

// What an issuer, or one above it, must not be for gets no certificate, which pods would refuse.
func TestNamesThatGetNoCertificate(t *testing.T) {
	a := tlstest.New(t)
	limited := newIssuer(t, a.Issuer(nil, "tax.example", "b.example"))
	excluding := newIssuer(t, a.Issuer(func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.ExcludedDNSDomains = nil, []string{"secret.example"}
	}))
	below := newIssuer(t, a.Issuer(nil, ".tax.example"))
	all := newIssuer(t, a.Issuer(nil))
	for name, tc := range map[string]struct {
		issuer *Issuer
		names  []string
	}{
		"elsewhere": {limited, []string{"example", "c.example", "xtax.example", "tax.example.com", "b.example.x"}},
		"excluded":  {excluding, []string{"secret.example", "a.secret.example"}},
		"above":     {below, []string{"tax.example", "xtax.example"}},
		"no name": {all, []string{"", ".", "a..b", ".a", "a.", "*.a.example", "a b", "a\x00b", "Ä.example", "10.0.0.1", "::1", "A.example", strings.Repeat("a", 64) + ".b",
			strings.Repeat("a.", 127) + "a.b"}},
	} {
		for _, n := range tc.names {
			if _, err := tc.issuer.Config("pod", n, "http/1.1", time.Now()); !errors.Is(err, ErrName) {
				t.Errorf("%s: %q gives %v", name, n, err)
			}
		}
	}
	leafFor(t, excluding, "public.example", "http/1.1", time.Now())
	leafFor(t, below, "a.tax.example", "http/1.1", time.Now())
}

// A certificate is the same as long as it lasts, is renewed before its end, and ends with its issuer.
func TestCertificatesAreRenewedBeforeTheirEnd(t *testing.T) {
	a := tlstest.New(t)
	start := time.Now()
	i := newIssuer(t, a.Issuer(func(c *x509.Certificate) { c.NotAfter = start.Add(20 * time.Hour) }))
	first := leafFor(t, i, "a.example", "http/1.1", start)
	if again := leafFor(t, i, "a.example", "http/1.1", start.Add(leafLife/2)); again.Leaf != first.Leaf {
		t.Error("it was made twice")
	}
	if other := leafFor(t, i, "a.example", "h2", start); other.Leaf == first.Leaf {
		t.Error("two protocols have one config")
	}
	for at := start; at.Before(start.Add(20*time.Hour - lastMinutes)); at = at.Add(10 * time.Minute) {
		leaf := leafFor(t, i, "a.example", "http/1.1", at).Leaf
		if left := leaf.NotAfter.Sub(at); left < lastMinutes || left < leafLife/3-time.Second && leaf.NotAfter.Before(start.Add(19*time.Hour)) || left > leafLife {
			t.Fatalf("after %v it has %v left", at.Sub(start), left)
		}
		if leaf.NotBefore.After(at) {
			t.Fatalf("after %v it has not begun", at.Sub(start))
		}
	}
	for _, at := range []time.Time{start.Add(20 * time.Hour), start.Add(20*time.Hour - lastMinutes), start.Add(-25 * time.Hour)} {
		if _, err := i.Config("pod", "a.example", "http/1.1", at); !errors.Is(err, ErrExpired) {
			t.Errorf("after %v: %v", at.Sub(start), err)
		}
	}
}

// One is made for each name, however many ask at a time.
func TestACertificateIsMadeOnce(t *testing.T) {
	i := newIssuer(t, tlstest.New(t).Issuer(nil))
	now := time.Now()
	got := make([]*tls.Config, 50)
	var all sync.WaitGroup
	for n := range got {
		all.Go(func() { got[n], _ = i.Config("pod", "a.example", "http/1.1", now) })
	}
	all.Wait()
	for _, config := range got {
		if config == nil || config != got[0] {
			t.Fatal("two were made")
		}
	}
}

// Names come from traffic, so what is kept of them is bounded; the ones in use stay.
func TestCertificatesThatAreKeptAreBounded(t *testing.T) {
	i := newIssuer(t, tlstest.New(t).Issuer(nil))
	now := time.Now()
	used := leafFor(t, i, "used.example", "http/1.1", now)
	for n := range maxLeaves + 100 {
		leafFor(t, i, fmt.Sprintf("a%d.example", n), "http/1.1", now)
		if n%100 == 0 {
			leafFor(t, i, "used.example", "http/1.1", now)
		}
	}
	if n := i.leaves.recent.Len(); n != maxLeaves || len(i.leaves.byName) != n || i.leaves.owned["pod"] != n {
		t.Errorf("%d are kept", n)
	}
	if again := leafFor(t, i, "used.example", "http/1.1", now); again.Leaf != used.Leaf {
		t.Error("one that is used was forgotten")
	}
}

func TestWhatIsNoIssuer(t *testing.T) {
	a := tlstest.New(t)
	for name, pair := range map[string]*tls.Certificate{
		"a server's certificate": a.Issue(nil, "a.example"),
		"may not sign":           a.Issuer(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }),
		"no certificate":         {Certificate: [][]byte{[]byte("x")}, PrivateKey: a.Issue(nil).PrivateKey},
		"no key":                 {Certificate: a.Issuer(nil).Certificate},
	} {
		if _, err := New(pair); err == nil {
			t.Errorf("%s: it is one", name)
		}
	}
}

// An issuer is good for as long as all its certificates are.
func TestTheValidityIsThatOfTheWholeChain(t *testing.T) {
	a := tlstest.New(t)
	now := time.Now().Truncate(time.Second)
	from, until := now.Add(-time.Minute), now.Add(time.Hour)
	i := newIssuer(t, a.Issuer(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, until }, "tax.example"))
	if notBefore, notAfter := i.Validity(); !notBefore.Equal(from) || !notAfter.Equal(until) {
		t.Errorf("it is valid from %s to %s, want %s to %s", notBefore, notAfter, from, until)
	}
	above := *i.certs[0]
	above.NotBefore, above.NotAfter = from.Add(time.Second), until.Add(-time.Second)
	i.certs = append(i.certs, &above)
	if notBefore, notAfter := i.Validity(); !notBefore.Equal(above.NotBefore) || !notAfter.Equal(above.NotAfter) {
		t.Errorf("with a certificate above it that is valid for less it is valid from %s to %s", notBefore, notAfter)
	}
	if i.Valid(until.Add(-time.Second)) || !i.Valid(now) {
		t.Error("Valid says something else")
	}
}
