package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// The lives of certificates.
const (
	// Lifetime is how long an authority lasts.
	Lifetime = 365 * 24 * time.Hour
	// RenewBefore is how long before its end an authority gets its successor.
	RenewBefore = 90 * 24 * time.Hour
	// Overlap is how long a successor is published before it signs: far longer than the kubelet takes to update a mounted
	// ConfigMap.
	Overlap = 24 * time.Hour
	// LeafLifetime is how long a serving certificate lasts; it is renewed after two thirds of that.
	LeafLifetime = 24 * time.Hour
	// skew is how far back certificates are dated, for clocks that are behind.
	skew = 5 * time.Minute

	maxAuthorities = 16
)

// Kind is what authorities are for.
type Kind struct {
	// CommonName begins the names of their certificates.
	CommonName string
	// Lifetime is how long one lasts, RenewBefore how long before its end it gets a successor, and Overlap how long that is published
	// before it signs.
	Lifetime, RenewBefore, Overlap time.Duration
	// Intermediates is how many authorities may lie between it and what is signed in the end.
	Intermediates int
}

// streams is for the certificates of the manager's own server.
var streams = Kind{CommonName: "fairlead-ca", Lifetime: Lifetime, RenewBefore: RenewBefore, Overlap: Overlap}

// authority is a certificate that may sign, with its key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// created is when the authority was made.
func (a authority) created() time.Time { return a.cert.NotBefore.Add(skew) }

// Authorities are what the Secret holds, oldest first.
type Authorities []authority

// Renew returns the authorities of the manager's own server that should exist at now, as RenewFor does.
func (as Authorities) Renew(now time.Time) (Authorities, bool, error) {
	return as.RenewFor(streams, now)
}

// RenewFor returns the authorities that should exist at now: without the expired, with a successor when it is time. The second
// result says whether that differs from as.
func (as Authorities) RenewFor(kind Kind, now time.Time) (Authorities, bool, error) {
	out := slices.DeleteFunc(slices.Clone(as), func(a authority) bool { return !now.Before(a.cert.NotAfter) })
	changed := len(out) != len(as)
	if len(out) > 0 && now.Add(kind.RenewBefore).Before(out[len(out)-1].cert.NotAfter) {
		return out, changed, nil
	}
	next, err := newAuthority(kind, now)
	if err != nil {
		return nil, false, err
	}
	return append(out, next), true, nil
}

// Signer returns the authority in force, as signer does.
func (as Authorities) Signer(kind Kind, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	a, err := as.signer(kind, now)
	return a.cert, a.key, err
}

// signer returns the authority in force: the newest that has been published for Overlap, else the oldest.
func (as Authorities) signer(kind Kind, now time.Time) (authority, error) {
	for _, a := range slices.Backward(as) {
		if !now.Before(a.created().Add(kind.Overlap)) && now.Before(a.cert.NotAfter) {
			return a, nil
		}
	}
	for _, a := range as {
		if now.Before(a.cert.NotAfter) {
			return a, nil
		}
	}
	return authority{}, errors.New("no authority is valid")
}

// Bundle returns the certificates in PEM, for those who verify.
func (as Authorities) Bundle() []byte {
	var b bytes.Buffer
	for _, a := range as {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	}
	return b.Bytes()
}

// Issue returns a serving certificate for the DNS names.
func (as Authorities) Issue(now time.Time, names []string) (*tls.Certificate, error) {
	signer, err := as.signer(streams, now)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := NewSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(LeafLifetime)
	if signer.cert.NotAfter.Before(end) {
		end = signer.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "fairlead-manager"}, DNSNames: names,
		NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func newAuthority(kind Kind, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make key: %w", err)
	}
	serial, err := NewSerial()
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: kind.CommonName + " " + now.UTC().Format(time.DateOnly)},
		NotBefore: now.Add(-skew), NotAfter: now.Add(kind.Lifetime),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: kind.Intermediates, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, fmt.Errorf("make authority: %w", err)
	}
	return authority{cert: cert, key: key}, nil
}

// NewSerial returns a random serial number.
func NewSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}
