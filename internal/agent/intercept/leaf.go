package intercept

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

const (
	// leafLife is how long a certificate lasts, if the issuer does. It is renewed when a third of that is left.
	leafLife = 6 * time.Hour
	// skew is how far back it is dated, for clocks that are behind.
	skew = 5 * time.Minute
	// maxCommonName is the longest common name (RFC 5280 appendix A.1: ub-common-name).
	maxCommonName = 64
)

// leafName is what a certificate is for.
type leafName struct{ host, protocol string }

// leaf is the certificate for one name, and how clients are served with it.
type leaf struct {
	leafName
	pod string // whose it is

	mu sync.Mutex // held while it is made, so that it is made once
	// guarded by mu
	made  *tls.Config // nil: not made yet
	renew time.Time
}

// config returns how clients are served with the certificate, which is made if there is none that lasts.
func (l *leaf) config(i *Issuer, now time.Time) (*tls.Config, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made != nil && now.Before(l.renew) {
		return l.made, nil
	}
	cert, err := i.sign(l.host, now)
	if err != nil {
		return nil, err
	}
	l.made, l.renew = serving(cert, l.protocol), renewal(cert.Leaf, now)
	return l.made, nil
}

// renewal is when a certificate is to be replaced: when a third of its time is left. One that ends with its issuer is used until that is
// replaced.
func renewal(c *x509.Certificate, now time.Time) time.Time {
	if left := c.NotAfter.Sub(now); left > leafLife-time.Minute { // it says whole seconds
		return now.Add(left * 2 / 3)
	}
	return c.NotAfter
}

// sign makes the certificate for a name.
func (i *Issuer) sign(name string, now time.Time) (*tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("intercept: draw a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), DNSNames: []string{name}, NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(name) <= maxCommonName {
		template.Subject = pkix.Name{CommonName: name}
	}
	for _, c := range i.certs { // what outlives them is refused by some
		if c.NotAfter.Before(template.NotAfter) {
			template.NotAfter = c.NotAfter
		}
		if c.NotBefore.After(template.NotBefore) {
			template.NotBefore = c.NotBefore
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.certs[0], &i.leafKey.PublicKey, i.key)
	if err != nil {
		return nil, fmt.Errorf("intercept: sign: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("intercept: read what was signed: %w", err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, i.chain...), PrivateKey: i.leafKey, Leaf: parsed}, nil
}

// http2 is the application protocol that a client has to ask for.
const http2 = "h2"

var errNoProtocol = errors.New("intercept: HTTP/2 needs an ALPN")

// serving returns how clients are served with a certificate.
func serving(cert *tls.Certificate, protocol string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{*cert}, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12,
		DynamicRecordSizingDisabled: true, // every record of a body costs a system call
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if protocol == http2 && !slices.Contains(h.SupportedProtos, http2) { // crypto/tls would let HTTP/1 pass
				return nil, errNoProtocol
			}
			return nil, h.SupportsCertificate(cert)
		},
	}
}
