package egress

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

// Entries of the Secret: those of an authority of a user's own are those of Secrets of type kubernetes.io/tls.
const (
	managedEntry = "authorities.pem"
	chainEntry   = "tls.crt"
	keyEntry     = "tls.key"
	bundleEntry  = "ca.crt"
)

// managed is how the manager's own authority is made. Programs read what they trust when they start, so its successor is published for half a
// year before it signs.
var managed = ca.Kind{
	CommonName: "fairlead egress CA", Lifetime: 3 * 365 * 24 * time.Hour, RenewBefore: 365 * 24 * time.Hour, Overlap: 180 * 24 * time.Hour,
	Intermediates: 1,
}

// authority is what signs issuers at some time.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	// chain leads from cert, included, to what pods trust, excluded: DER.
	chain [][]byte
	// bundle is what pods trust: PEM.
	bundle []byte
	// own says that it is a user's own.
	own bool
}

// expires is when the authority, or the last certificate on the way to a root, ends.
func (a *authority) expires() time.Time { return a.cert.NotAfter }

// same reports whether o signs with the same certificate.
func (a *authority) same(o *authority) bool { return o != nil && bytes.Equal(a.cert.Raw, o.cert.Raw) }

// managedAuthority returns the manager's own authority that signs at now.
func managedAuthority(as ca.Authorities, now time.Time) (*authority, error) {
	cert, key, err := as.Signer(managed, now)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, bundle: as.Bundle()}, nil
}

// ownAuthority reads a user's own authority from the entries of a Secret. The bundle is its ca.crt, or, without one, the last certificate of
// its chain.
func ownAuthority(data map[string][]byte, now time.Time) (*authority, error) {
	pair, err := tls.X509KeyPair(data[chainEntry], data[keyEntry])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", chainEntry, keyEntry, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T cannot sign", keyEntry, pair.PrivateKey)
	}
	a := &authority{cert: pair.Leaf, key: key, chain: pair.Certificate, bundle: data[bundleEntry], own: true}
	if err := a.usable(now); err != nil {
		return nil, fmt.Errorf("%s: %w", chainEntry, err)
	}
	last := pair.Certificate[len(pair.Certificate)-1]
	if len(bytes.TrimSpace(a.bundle)) == 0 {
		a.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: last})
	}
	trusted, err := certificatesOf(a.bundle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", bundleEntry, err)
	}
	if err := a.verify(trusted, now); err != nil {
		return nil, err
	}
	if trusted[string(last)] {
		a.chain = a.chain[:len(a.chain)-1]
	}
	return a, nil
}

// usable says why an authority cannot sign issuers.
func (a *authority) usable(now time.Time) error {
	c := a.cert
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("the certificate is no authority's (basic constraints without CA)")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("the certificate may not sign others (key usage)")
	case c.MaxPathLen == 0 && c.MaxPathLenZero:
		return errors.New("the certificate permits no intermediates (path length 0), and each node gets one")
	case now.Before(c.NotBefore) || !now.Before(c.NotAfter):
		return fmt.Errorf("the certificate is valid from %s to %s", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// verify says why those who trust the bundle would not trust the authority.
func (a *authority) verify(trusted map[string]bool, now time.Time) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AppendCertsFromPEM(a.bundle)
	for _, der := range a.chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			opts.Intermediates.AddCert(c)
		}
	}
	if _, err := a.cert.Verify(opts); err != nil && !trusted[string(a.cert.Raw)] {
		return fmt.Errorf("whoever trusts %s does not trust %s: %w", bundleEntry, chainEntry, err)
	}
	return nil
}

// certificatesOf returns the certificates of a PEM bundle by their DER.
func certificatesOf(bundle []byte) (map[string]bool, error) {
	out := map[string]bool{}
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a %s block among the certificates", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
		out[string(block.Bytes)] = true
	}
	if len(out) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return out, nil
}
