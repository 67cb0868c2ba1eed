package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

const (
	// issuerLife is how long an issuer lasts; it is renewed after two thirds of that.
	issuerLife = 24 * time.Hour
	// skew is how far back certificates are dated, for clocks that are behind.
	skew = 5 * time.Minute
	// maxConstraints bounds the names that an issuer is limited to: its certificate is part of every handshake, and some clients accept no
	// more than 32 KiB there.
	maxConstraints = 8 << 10
)

// Issuer is what a node signs with.
type Issuer struct {
	// Chain is its certificate and those that lead to what pods trust, in DER.
	Chain [][]byte
	// Key is its private key in PKCS #8 DER. It is made here and sent to the node alone.
	Key []byte

	expires time.Time
	signer  *authority
	hosts   []string // that it was made for
}

// due reports whether the node needs another issuer.
func (i *Issuer) due(a *authority, hosts []string, now time.Time) bool {
	return i == nil || !a.same(i.signer) || !slices.Equal(i.hosts, hosts) || !now.Add(issuerLife/3).Before(i.expires)
}

// issue makes an issuer for a node that is good for hosts alone.
func (a *authority) issue(node string, hosts []string, now time.Time) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := ca.NewSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(issuerLife)
	if a.cert.NotAfter.Before(end) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "fairlead egress issuer of " + shortened(node)},
		NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomains: permitted(hosts), PermittedDNSDomainsCritical: true,
		ExcludedIPRanges: everyAddress(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return &Issuer{Chain: append([][]byte{der}, a.chain...), Key: secret, expires: end, signer: a, hosts: slices.Clone(hosts)}, nil
}

// shortened makes a node's name fit a common name, which has 64 characters at most.
func shortened(node string) string { return node[:min(len(node), 38)] }

// everyAddress are all IP addresses: no issuer is for those.
func everyAddress() []*net.IPNet {
	return []*net.IPNet{{IP: make(net.IP, 4), Mask: net.CIDRMask(0, 32)}, {IP: make(net.IP, 16), Mask: net.CIDRMask(0, 128)}}
}

// permitted returns the domains that hosts, as policies name them, lie in, without those that lie in another; nil for every name there is.
// What it returns names subdomains too.
func permitted(hosts []string) []string {
	names := map[string]bool{}
	for _, h := range hosts {
		if h == "*" {
			return nil
		}
		names[strings.TrimPrefix(h, "*.")] = true
	}
	var out []string
	size := 0
	for name := range names {
		if !within(name, names) {
			out = append(out, name)
			size += len(name) + 8
		}
	}
	if size > maxConstraints {
		return nil
	}
	slices.Sort(out)
	return out
}

// within reports whether a parent of name is among names.
func within(name string, names map[string]bool) bool {
	for {
		_, parent, found := strings.Cut(name, ".")
		if !found {
			return false
		}
		if names[parent] {
			return true
		}
		name = parent
	}
}
