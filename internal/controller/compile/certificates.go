package compile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"
)

const (
	// expirySoon is how long before its end a certificate is warned about.
	expirySoon = 14 * 24 * time.Hour
	// maxCertificates and maxChain are what agents accept.
	maxCertificates = 1024
	maxChain        = 16

	blockCertificate = "CERTIFICATE"
)

// parsed keeps what the entries of an object hold. Parsing private keys takes long enough to matter where there are thousands.
type parsed struct {
	mu sync.Mutex
	// guarded by mu
	bundles map[string]bundle // by entry
	pair    *keyPair
}

// bundle returns what an entry holds as a bundle.
func (r *Referent) bundle(entry string, data []byte) bundle {
	if r.parsed == nil {
		return parseBundle(data)
	}
	r.parsed.mu.Lock()
	defer r.parsed.mu.Unlock()
	b, known := r.parsed.bundles[entry]
	if !known {
		b = parseBundle(data)
		r.parsed.bundles[entry] = b
	}
	return b
}

// keyPair returns what the object holds as a key pair.
func (r *Referent) keyPair(chain, key []byte) *keyPair {
	if r.parsed == nil {
		return parseKeyPair(chain, key)
	}
	r.parsed.mu.Lock()
	defer r.parsed.mu.Unlock()
	if r.parsed.pair == nil {
		r.parsed.pair = parseKeyPair(chain, key)
	}
	return r.parsed.pair
}

// bundle is a PEM bundle: its certificates in DER, each once, and when the last of them expires; or why there is none that can be used.
type bundle struct {
	certificates [][]byte
	expires      time.Time
	why          string
}

// parseBundle parses a PEM bundle. Whatever else than certificates is in it is left out, a private key above all.
func parseBundle(data []byte) bundle {
	var b bundle
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
			return bundle{why: fmt.Sprintf("has a certificate that cannot be read (block %d: %v); replace it", n, err)}
		}
		seen[string(block.Bytes)] = true
		b.certificates = append(b.certificates, block.Bytes)
		if cert.NotAfter.After(b.expires) {
			b.expires = cert.NotAfter
		}
	}
	switch {
	case len(b.certificates) == 0:
		b.why = "has no certificate in PEM; write -----BEGIN CERTIFICATE----- blocks"
	case len(b.certificates) > maxCertificates:
		b.why = fmt.Sprintf("has %d certificates, at most %d can be used; leave out those that are not needed", len(b.certificates), maxCertificates)
	}
	return b
}

// usable returns the certificates and when the last of them expires, or why they cannot be used.
func (b bundle) usable(now time.Time) (certificates [][]byte, expires time.Time, why string) {
	switch {
	case b.why != "":
		return nil, time.Time{}, b.why
	case !now.Before(b.expires):
		return nil, time.Time{}, fmt.Sprintf("has no certificate that is still valid: the last one expired on %s; add its successor", day(b.expires))
	}
	return b.certificates, b.expires, ""
}

// day is a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// keyPair is a certificate with its chain and its private key, or why they are none. No reason shows any of the key.
type keyPair struct {
	chain               [][]byte
	key                 []byte
	notBefore, notAfter time.Time
	why                 string
}

func parseKeyPair(chain, key []byte) *keyPair {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return &keyPair{why: fmt.Sprintf("is no certificate with its key (%v); correct %s and %s", err, chainEntry, keyEntry)}
	}
	if n := len(pair.Certificate); n > maxChain {
		return &keyPair{why: fmt.Sprintf("has a chain of %d certificates, at most %d can be used", n, maxChain)}
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return &keyPair{why: fmt.Sprintf("has a key of a kind that cannot be used (%T)", pair.PrivateKey)}
	}
	return &keyPair{chain: pair.Certificate, key: der, notBefore: pair.Leaf.NotBefore, notAfter: pair.Leaf.NotAfter}
}

// unusable says why the pair cannot be used.
func (k *keyPair) unusable(now time.Time) string {
	switch {
	case k.why != "":
		return k.why
	case now.Before(k.notBefore):
		return fmt.Sprintf("has a certificate that is not valid before %s", k.notBefore.UTC().Format(time.RFC3339))
	case !now.Before(k.notAfter):
		return fmt.Sprintf("has a certificate that expired on %s; renew it", day(k.notAfter))
	}
	return ""
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
