package compile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// expirySoon is how long before its end a certificate is warned about.
	expirySoon = 14 * 24 * time.Hour
	// maxCertificates and maxChain are what agents accept.
	maxCertificates = 1024
	maxChain        = 16

	blockCertificate = "CERTIFICATE"
)

// parseBundle returns the certificates of a PEM bundle in DER, each once, and when the last of them expires; or why there is none that can be
// used. Whatever else is in the bundle is left out, a private key above all.
func parseBundle(data []byte, now time.Time) (certificates [][]byte, expires time.Time, why string) {
	seen := map[string]bool{}
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != blockCertificate || seen[string(block.Bytes)] {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, time.Time{}, fmt.Sprintf("has a certificate that cannot be read (block %d: %v); replace it", n, err)
		}
		seen[string(block.Bytes)] = true
		certificates = append(certificates, block.Bytes)
		if cert.NotAfter.After(expires) {
			expires = cert.NotAfter
		}
	}
	switch {
	case len(certificates) == 0:
		return nil, time.Time{}, "has no certificate in PEM; write -----BEGIN CERTIFICATE----- blocks"
	case len(certificates) > maxCertificates:
		return nil, time.Time{}, fmt.Sprintf("has %d certificates, at most %d can be used; leave out those that are not needed", len(certificates), maxCertificates)
	case !now.Before(expires):
		return nil, time.Time{}, fmt.Sprintf("has no certificate that is still valid: the last one expired on %s; add its successor", day(expires))
	}
	return certificates, expires, ""
}

// day is a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// parseKeyPair returns a certificate with its chain and its private key, and when it expires; or why they cannot be used. No reason shows any
// of the key.
func parseKeyPair(chain, key []byte, now time.Time) (pair *policy.KeyPair, expires time.Time, why string) {
	parsed, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, time.Time{}, fmt.Sprintf("is no certificate with its key (%v); correct %s and %s", err, chainEntry, keyEntry)
	}
	leaf := parsed.Leaf
	switch {
	case len(parsed.Certificate) > maxChain:
		return nil, time.Time{}, fmt.Sprintf("has a chain of %d certificates, at most %d can be used", len(parsed.Certificate), maxChain)
	case now.Before(leaf.NotBefore):
		return nil, time.Time{}, fmt.Sprintf("has a certificate that is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(leaf.NotAfter):
		return nil, time.Time{}, fmt.Sprintf("has a certificate that expired on %s; renew it", day(leaf.NotAfter))
	}
	der, err := x509.MarshalPKCS8PrivateKey(parsed.PrivateKey)
	if err != nil {
		return nil, time.Time{}, fmt.Sprintf("has a key of a kind that cannot be used (%T)", parsed.PrivateKey)
	}
	return &policy.KeyPair{Chain: parsed.Certificate, Key: der}, leaf.NotAfter, ""
}

// NextChange returns when what an object comes to may be another without a change of the object: a certificate in it begins or ends to be
// valid, or ends soon. The second result is false for never.
func NextChange(data map[string][]byte, now time.Time) (time.Time, bool) {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, entry := range data {
		for {
			var block *pem.Block
			if block, entry = pem.Decode(entry); block == nil {
				break
			}
			if block.Type != blockCertificate {
				continue
			}
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				consider(cert.NotBefore)
				consider(cert.NotAfter.Add(-expirySoon))
				consider(cert.NotAfter)
			}
		}
	}
	return next, !next.IsZero()
}
