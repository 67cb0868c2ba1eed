package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// serverName is who the calls are for, in the clear and over TLS.
	serverName = "bench.example"
	// serverFile has the server's certificate and key, rootFile whom proxies trust: the same certificate, which signs itself.
	serverFile, rootFile = "server.pem", "root.pem"
)

// writeCertificates makes what the server proves itself with, in the folder that all parts run in.
func writeCertificates(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, rootFile), public, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, serverFile), append(public, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), 0o600)
}

// overTLS is l, whose connections speak TLS.
func overTLS(l net.Listener) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(serverFile, serverFile)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// roots is the certificate in rootFile, in DER.
func roots() ([][]byte, error) {
	text, err := os.ReadFile(rootFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	return [][]byte{block.Bytes}, nil
}
