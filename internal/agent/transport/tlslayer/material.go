package tlslayer

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
)

// SystemRoots returns the public roots.
var SystemRoots = sync.OnceValues(x509.SystemCertPool)

// ParseRoots returns the pool of certificates in DER.
func ParseRoots(certificates [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for i, der := range certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		pool.AddCert(c)
	}
	return pool, nil
}

// ParseKeyPair returns a certificate with its key. chain is in DER, key in PKCS #8.
func ParseKeyPair(chain [][]byte, key []byte) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the private key cannot be read") // the cause may quote it
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, errors.New("the private key does not match the certificate")
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: private, Leaf: leaf}, nil
}
