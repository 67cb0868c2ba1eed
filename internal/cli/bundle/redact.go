package bundle

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// removed stands for what was removed.
const removed = "[redacted]"

// pattern is something in texts that is not to leave the cluster, whatever it is in. What its first group matches stays.
type pattern struct {
	kind string
	re   *regexp.Regexp
}

// patterns are those that are looked for. The slice is never written to.
var patterns = []pattern{
	{"private key", regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)},
	{"token", regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*`)},
	{"credentials", regexp.MustCompile(`(?i)(\b(?:bearer|basic|digest|negotiate)\s+)[A-Za-z0-9._~+/=-]{8,}`)},
	{"credentials", regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^\s/@"']+@`)},
	{"password", regexp.MustCompile(`(?i)(\b[a-z0-9_.-]*(?:password|passwd|secret|api[_-]?key|access[_-]?token|authorization|cookie)\\?["']?\s*[:=]\s*\\?["']?)[^\s"',}\\]+`)},
	{"query", regexp.MustCompile(`((?:https?://|"path":")[^\s"?]*\?)[^\s"]+`)},
}

// redactor removes what is not to leave the cluster, and counts it by kind.
type redactor struct {
	counts map[string]int
	// key makes pseudonyms of hosts; nil: they stay.
	key []byte
	// hosts are those that are known, without and with what they stand for.
	hosts map[string]string
	order []string // of hosts, longest first; nil: to be made
}

func newRedactor(key []byte) *redactor {
	return &redactor{counts: map[string]int{}, key: key, hosts: map[string]string{}}
}

// host makes a name known that is to be replaced where hosts are. What is one label, or an address, is not made known so: nodes are, by node.
func (r *redactor) host(name string) {
	name = strings.Trim(strings.ToLower(strings.TrimPrefix(name, "*.")), ".")
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[:i], ":") {
		name = name[:i]
	}
	if strings.Contains(name, "/") || !strings.Contains(name, ".") || isAddress(name) {
		return
	}
	r.known(name, "host-")
}

// node makes a node's name known.
func (r *redactor) node(name string) { r.known(name, "node-") }

func (r *redactor) known(name, kind string) {
	if r.key != nil && name != "" && r.hosts[name] == "" {
		r.hosts[name], r.order = kind+r.pseudonym(name), nil
	}
}

// pseudonym is the same for the same name and key.
func (r *redactor) pseudonym(name string) string {
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(name))
	return hex.EncodeToString(h.Sum(nil)[:5])
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// text redacts a text.
func (r *redactor) text(b []byte) []byte {
	for _, p := range patterns {
		b = p.re.ReplaceAllFunc(b, func(m []byte) []byte {
			keep := p.re.FindSubmatch(m)[1]
			if bytes.HasPrefix(m[len(keep):], []byte(removed)) {
				return m
			}
			r.counts[p.kind]++
			return append(bytes.Clone(keep), p.instead()...)
		})
	}
	return r.names(b)
}

// instead stands for what a pattern has found. The @ of a URL's credentials stays.
func (p *pattern) instead() string {
	if strings.HasSuffix(p.re.String(), "+@") {
		return removed + "@"
	}
	return removed
}

// addresses finds what may be an address: of IPv4, or with two colons at least.
var addresses = regexp.MustCompile(`\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?`)

// names replaces the hosts that are known, and all addresses, by their pseudonyms.
func (r *redactor) names(b []byte) []byte {
	if r.key == nil {
		return b
	}
	if r.order == nil {
		for name := range r.hosts {
			r.order = append(r.order, name)
		}
		slices.SortFunc(r.order, func(x, y string) int { return cmp.Or(len(y)-len(x), strings.Compare(x, y)) })
	}
	for _, name := range r.order {
		b = bytes.ReplaceAll(b, []byte(name), []byte(r.hosts[name]))
	}
	return addresses.ReplaceAllFunc(b, func(m []byte) []byte {
		a, err := netip.ParseAddr(string(m))
		if err != nil || a.IsLoopback() || a.IsUnspecified() {
			return m
		}
		r.counts["address"]++
		return []byte("ip-" + r.pseudonym(a.Unmap().String()))
	})
}
