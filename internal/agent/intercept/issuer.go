// Package intercept makes the certificates that pods are shown whose TLS is intercepted: each for one name, signed by the node's issuer.
//
// It must not know about connections or policy, must keep what it makes in memory alone, and must log nothing of a key.
package intercept

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// lastMinutes is how long before its end an issuer is used no more: a handshake that begins then would end behind it.
const lastMinutes = time.Minute

var (
	// ErrExpired says that the issuer has ended, or has not begun.
	ErrExpired = errors.New("intercept: the issuer is not valid now")
	// ErrName says that the issuer may make no certificate for a name.
	ErrName = errors.New("intercept: the issuer is not for this name")
)

// Issuer is what the node signs with.
type Issuer struct {
	// immutable after New
	chain [][]byte // its certificate and those above it, in DER
	certs []*x509.Certificate
	key   crypto.Signer
	// leafKey is that of all certificates that it makes: whoever has one has them all, since they are in one process.
	leafKey *ecdsa.PrivateKey

	leaves leaves
}

// New returns the issuer with a certificate and its key.
func New(pair *tls.Certificate) (*Issuer, error) {
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key of the issuer cannot sign")
	}
	i := &Issuer{chain: pair.Certificate, key: key}
	i.leaves.init()
	for n, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the issuer: %w", n+1, err)
		}
		i.certs = append(i.certs, c)
	}
	if c := i.certs[0]; !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("the certificate of the issuer may not sign others")
	}
	var err error
	if i.leafKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return i, nil
}

// Valid reports whether the issuer can sign now.
func (i *Issuer) Valid(now time.Time) bool {
	for _, c := range i.certs {
		if now.Before(c.NotBefore) || !now.Add(lastMinutes).Before(c.NotAfter) {
			return false
		}
	}
	return true
}

// Validity returns from when until when it may be used: that is when its certificate and all above it are valid.
func (i *Issuer) Validity() (notBefore, notAfter time.Time) {
	for n, c := range i.certs {
		if n == 0 || c.NotBefore.After(notBefore) {
			notBefore = c.NotBefore
		}
		if n == 0 || c.NotAfter.Before(notAfter) {
			notAfter = c.NotAfter
		}
	}
	return notBefore, notAfter
}

// Config returns how a client in a pod is served that asks for a name and speaks an application protocol (an ALPN). Clients that cannot be served that
// way are refused before they are sent anything, see tlslayer.Accept.
//
// It is the same as long as its certificate is: that is renewed before its end, and each name's sessions are resumed with it alone.
func (i *Issuer) Config(pod, name, protocol string, now time.Time) (*tls.Config, error) {
	now = now.Round(0) // certificates go by the clock that is set
	if err := i.Permits(name, now); err != nil {
		return nil, err
	}
	return i.leaves.find(pod, leafName{name, protocol}).config(i, now)
}

// Permits returns why the issuer may make no certificate for a name now, if it may not.
func (i *Issuer) Permits(name string, now time.Time) error {
	switch {
	case !i.Valid(now.Round(0)):
		return ErrExpired
	case !validName(name) || !i.permits(name):
		return ErrName
	}
	return nil
}
