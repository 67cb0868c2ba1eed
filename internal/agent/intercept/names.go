package intercept

import (
	"crypto/x509"
	"net/netip"
	"strings"
)

// maxLabel and maxName bound names of the DNS (RFC 1035 section 2.3.4).
const (
	maxLabel = 63
	maxName  = 253
)

// validName reports whether a certificate can be for a name, which is in lower case: one of the DNS, and no address.
func validName(name string) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > maxLabel || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// permits reports whether the issuer, and those above it, may be for a name (RFC 5280 section 4.2.1.10).
func (i *Issuer) permits(name string) bool {
	for _, c := range i.certs {
		if !permitted(c, name) {
			return false
		}
	}
	return true
}

func permitted(c *x509.Certificate, name string) bool {
	for _, domain := range c.ExcludedDNSDomains {
		if within(name, domain) {
			return false
		}
	}
	for _, domain := range c.PermittedDNSDomains {
		if within(name, domain) {
			return true
		}
	}
	return len(c.PermittedDNSDomains) == 0
}

// within reports whether a name is a domain, or below it. A domain that begins with a dot is not in itself.
func within(name, domain string) bool {
	domain = strings.ToLower(domain)
	if domain == "" || name == domain {
		return true
	}
	if !strings.HasPrefix(domain, ".") {
		domain = "." + domain
	}
	return strings.HasSuffix(name, domain)
}
