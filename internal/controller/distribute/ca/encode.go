package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// Marshal returns the authorities as PEM: each certificate followed by its key.
func (as Authorities) Marshal() ([]byte, error) {
	var b bytes.Buffer
	for _, a := range as {
		der, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return nil, fmt.Errorf("encode key: %w", err)
		}
		b.Write(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: a.cert.Raw}))
		b.Write(pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}))
	}
	return b.Bytes(), nil
}

// Parse reverses Marshal. Empty input gives no authorities.
func Parse(data []byte) (Authorities, error) {
	var as Authorities
	for {
		var certBlock, keyBlock *pem.Block
		if certBlock, data = pem.Decode(data); certBlock == nil {
			break
		}
		if keyBlock, data = pem.Decode(data); keyBlock == nil || certBlock.Type != blockCertificate || keyBlock.Type != blockKey {
			return nil, errors.New("parse authorities: certificates and keys must alternate")
		}
		a, err := parseAuthority(certBlock.Bytes, keyBlock.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse authorities: %w", err)
		}
		if as = append(as, a); len(as) > maxAuthorities {
			return nil, fmt.Errorf("parse authorities: more than %d", maxAuthorities)
		}
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return nil, errors.New("parse authorities: trailing data")
	}
	slices.SortStableFunc(as, func(a, b authority) int { return a.cert.NotBefore.Compare(b.cert.NotBefore) })
	return as, nil
}

func parseAuthority(certDER, keyDER []byte) (authority, error) {
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return authority{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return authority{}, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return authority{}, fmt.Errorf("key of type %T", parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return authority{}, errors.New("certificate and key do not belong together, or are no authority's")
	}
	return authority{cert: cert, key: key}, nil
}
