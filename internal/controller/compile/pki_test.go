package compile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// noon is the time of the tests.
var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// certificate is a self-signed certificate and its key in PEM.
type certificate struct{ chain, key []byte }

// newCertificate makes one that is valid from a time before noon until a time after it, both may be negative.
func newCertificate(t testing.TB, name string, before, after time.Duration) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-before), NotAfter: noon.Add(after)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// der returns the first PEM block of text.
func der(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// objects finds references in a map, at noon.
type objects map[Reference]map[string][]byte

func (o objects) find(r Reference) Referent {
	data, ok := o[r]
	if !ok {
		return Referent{Now: noon}
	}
	there := NewReferent(data)
	there.Now = noon
	return there
}

func configMap(name string) Reference { return Reference{v1alpha1.CABundleConfigMap, "shop", name} }
func secretOf(name string) Reference  { return Reference{v1alpha1.CABundleSecret, "shop", name} }

// originating is a destination whose TLS the agent speaks.
func originating(ref *v1alpha1.CABundleReference, client string) v1alpha1.Destination {
	d := v1alpha1.Destination{Host: "a.example", Protocol: v1alpha1.ProtocolHTTP, TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, CABundleRef: ref}}
	if client != "" {
		d.TLS.ClientCertificateRef = &v1alpha1.SecretReference{Name: client}
	}
	return d
}
