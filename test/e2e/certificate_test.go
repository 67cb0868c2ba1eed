package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(name string) authority {
	GinkgoHelper()
	a := authority{template(1, name), newKey()}
	a.certificate.IsCA, a.certificate.KeyUsage = true, x509.KeyUsageCertSign
	a.certificate.Raw = a.sign(a.certificate, a.key)
	return a
}

// files are the certificate as ca.crt and tls.crt, and the key as tls.key.
func (a authority) files() map[string]string {
	crt := text("CERTIFICATE", a.certificate.Raw)
	return map[string]string{"ca.crt": crt, "tls.crt": crt, "tls.key": text("PRIVATE KEY", private(a.key))}
}

func (a authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	GinkgoHelper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, &key.PublicKey, a.key)
	Expect(err).NotTo(HaveOccurred())
	return der
}

// newCertificate makes a CA and a certificate of it for some names, as the files ca.crt, tls.crt and tls.key, and tls.pem with both of the latter.
func newCertificate(names ...string) map[string]string {
	GinkgoHelper()
	ca, key, leaf := newAuthority("CA of the stories"), newKey(), template(2, names[0])
	leaf.DNSNames, leaf.KeyUsage, leaf.ExtKeyUsage = names, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	crt, secret := text("CERTIFICATE", ca.sign(leaf, key)), text("PRIVATE KEY", private(key))
	return map[string]string{"ca.crt": text("CERTIFICATE", ca.certificate.Raw), "tls.crt": crt, "tls.key": secret, "tls.pem": crt + secret}
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
}

func newKey() *ecdsa.PrivateKey {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	return key
}

func private(key *ecdsa.PrivateKey) []byte {
	GinkgoHelper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	return der
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
