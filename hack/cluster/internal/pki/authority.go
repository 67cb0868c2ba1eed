// Package pki makes the certificates and keys of a cluster: one authority, and one credential for
// each component. It must not decide who needs which; that is the plan's.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// lifetime is long enough for a cluster that somebody forgot, and short enough to notice.
const lifetime = 365 * 24 * time.Hour

// Authority signs the certificates of one cluster.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Request says what a certificate is for.
type Request struct {
	// File is the base name of the certificate and key files.
	File string
	// CommonName is the user, Organizations are the groups, in Kubernetes' reading of client certificates.
	CommonName    string
	Organizations []string
	// DNSNames and Addresses make it a server's certificate as well.
	DNSNames  []string
	Addresses []netip.Addr
}

// Pair is where a certificate and its key are.
type Pair struct{ Cert, Key string }

// NewAuthority makes an authority that keeps its files, ca.crt and ca.key, in dir.
func NewAuthority(dir, name string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	a := &Authority{dir: dir, cert: template, key: key}
	der, err := a.sign(template, key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, a.write("ca", der, key)
}

// CertFile is the path of the authority's certificate.
func (a *Authority) CertFile() string { return filepath.Join(a.dir, "ca.crt") }

// KeyFile is the path of the authority's key.
func (a *Authority) KeyFile() string { return filepath.Join(a.dir, "ca.key") }

// Issue makes a key and a certificate for it.
func (a *Authority) Issue(r Request) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template, err := newTemplate(pkix.Name{CommonName: r.CommonName, Organization: r.Organizations})
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(r.DNSNames)+len(r.Addresses) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames = r.DNSNames
		for _, addr := range r.Addresses {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		}
	}
	der, err := a.sign(template, key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate %s: %w", r.File, err)
	}
	return a.pair(r.File), a.write(r.File, der, key)
}

// SigningKey makes a key pair without certificate, as service account tokens are signed with.
func (a *Authority) SigningKey(file string) (private, public string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", "", err
	}
	private, public = filepath.Join(a.dir, file+".key"), filepath.Join(a.dir, file+".pub")
	if err := writePEM(public, "PUBLIC KEY", der); err != nil {
		return "", "", err
	}
	return private, public, writeKey(private, key)
}

func (a *Authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
}

func (a *Authority) pair(file string) Pair {
	base := filepath.Join(a.dir, file)
	return Pair{Cert: base + ".crt", Key: base + ".key"}
}

func (a *Authority) write(file string, der []byte, key *ecdsa.PrivateKey) error {
	p := a.pair(file)
	if err := writePEM(p.Cert, "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(p.Key, key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Minute), // clocks need not agree to the second
		NotAfter:     now.Add(lifetime),
	}, nil
}
