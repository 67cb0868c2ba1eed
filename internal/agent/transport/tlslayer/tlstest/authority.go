// Package tlstest makes certificates for tests.
package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// New returns an authority with a root of its own.
func New(t testing.TB) *Authority {
	t.Helper()
	template := template("test authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	key := newKey(t)
	return &Authority{t: t, cert: sign(t, template, template, key.Public(), key), key: key}
}

// Root is the authority's certificate.
func (a *Authority) Root() *x509.Certificate { return a.cert }

// Pool holds the authority's certificate alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Issue issues a certificate for names or addresses. change, if not nil, has its say before.
func (a *Authority) Issue(change func(*x509.Certificate), names ...string) *tls.Certificate {
	a.t.Helper()
	template := template("test")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if change != nil {
		change(template)
	}
	key := newKey(a.t)
	leaf := sign(a.t, template, a.cert, key.Public(), a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// Issuer issues an intermediate, as nodes get one to make certificates with for pods: for some domains and those below them, or, without any,
// for all. change, if not nil, has its say before.
func (a *Authority) Issuer(change func(*x509.Certificate), domains ...string) *tls.Certificate {
	a.t.Helper()
	return a.Issue(func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.MaxPathLenZero = true, true, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = domains, true
		c.ExcludedIPRanges = []*net.IPNet{{IP: make(net.IP, 4), Mask: net.CIDRMask(0, 32)}, {IP: make(net.IP, 16), Mask: net.CIDRMask(0, 128)}}
		if change != nil {
			change(c)
		}
	})
}

// SelfSigned returns a certificate for a name that nobody has issued.
func SelfSigned(t testing.TB, name string) *tls.Certificate {
	t.Helper()
	template, key := template("test"), newKey(t)
	template.DNSNames = []string{name}
	leaf := sign(t, template, template, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// Expired is for Issue.
func Expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }

// Key is the key of a certificate, in PKCS #8.
func Key(t testing.TB, c *tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// PEMs are a certificate and its key, for programs.
func PEMs(t testing.TB, c *tls.Certificate) (certificate, key []byte) {
	t.Helper()
	for _, der := range c.Certificate {
		certificate = append(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: Key(t, c)})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func sign(t testing.TB, c, by *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
