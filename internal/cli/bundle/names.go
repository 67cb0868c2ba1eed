package bundle

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
	"strings"
)

// hostName is what a host may be called.
var hostName = regexp.MustCompile(`^[a-z0-9._-]{1,253}$`)

// host makes a name known that is to be replaced where hosts are. What is one label, or an address, is not made known so: nodes are, by node.
func (r *redactor) host(name string) {
	name = strings.Trim(strings.ToLower(strings.TrimPrefix(name, "*.")), ".")
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[:i], ":") {
		name = name[:i]
	}
	if !hostName.MatchString(name) || !strings.Contains(name, ".") || isAddress(name) {
		return
	}
	r.known(name, "host-")
}

// node makes a node's name known.
func (r *redactor) node(name string) { r.known(strings.ToLower(name), "node-") }

func (r *redactor) known(name, kind string) {
	if r.key != nil && name != "" && r.hosts[name] == "" {
		r.hosts[name], r.longest = kind+r.pseudonym(name), max(r.longest, len(name))
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

// hostFields are the fields of what is gathered that hold hosts, or lists of them. The table is never written to.
var hostFields = map[string]bool{
	"host": true, "hosts": true, "destination": true, "destinations": true, "service": true, "target": true, "targets": true, "to": true, "peer": true,
	"proxy": true, "serverName": true, "endpoint": true, "endpoints": true, "address": true, "addresses": true,
}

// nodeFields hold names of nodes.
var nodeFields = map[string]bool{"node": true, "nodeName": true, "kubernetes.io/hostname": true}

// named finds hosts in texts: those of URLs, and those that a port follows.
var named = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://(?:[^\s/@"']*@)?([a-z0-9._-]+)|((?:[a-z0-9_-]+\.)+[a-z0-9-]*[a-z][a-z0-9-]*):[0-9]{1,5}\b`)

// hostsIn makes the hosts and nodes known that a value of JSON names. under is the field that has it.
func (r *redactor) hostsIn(v any, under string) {
	switch v := v.(type) {
	case string:
		r.hostsOf(v, under)
	case []any:
		for _, of := range v {
			r.hostsIn(of, under)
		}
	case map[string]any:
		name, ok := v["name"].(string)
		if v["kind"] == "Node" && ok {
			r.node(name)
		}
		for key, of := range v {
			if host, ok := of.(string); ok && under == "source" && key == "host" { // of an Event
				r.node(host)
			}
			r.hostsOf(key, "")
			r.hostsIn(of, key)
		}
	}
}

// hostsOf makes the hosts and nodes of a string known.
func (r *redactor) hostsOf(s, under string) {
	switch {
	case nodeFields[under]:
		r.node(s)
	case hostFields[under]:
		r.host(strings.TrimPrefix(s, "host "))
	case under == "image" || under == "imageID":
		_, image, ok := strings.Cut(s, "://")
		if !ok {
			image = s
		}
		registry, _, _ := strings.Cut(image, "/")
		r.host(registry)
	}
	for _, m := range named.FindAllStringSubmatch(s, -1) {
		if !strings.HasSuffix(m[2], ".go") { // a line of a program
			r.host(m[1] + m[2])
		}
	}
}

// addresses finds what may be an address: of IPv4, or with two colons at least.
var addresses = regexp.MustCompile(`\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?`)

// names replaces the hosts and nodes that are known, and all addresses, by their pseudonyms.
func (r *redactor) names(b []byte) []byte { return r.namesIn(b, false) }

// namesIn is names. In the name of a field, what could be the name of one stays: a node may be called node.
func (r *redactor) namesIn(b []byte, field bool) []byte {
	if r.key == nil {
		return b
	}
	b = words.ReplaceAllFunc(b, func(word []byte) []byte { return r.word(word, field) })
	return addresses.ReplaceAllFunc(b, func(m []byte) []byte {
		a, err := netip.ParseAddr(string(m))
		if err != nil || a.IsLoopback() || a.IsUnspecified() {
			return m
		}
		r.counts["address"]++
		return []byte("ip-" + r.pseudonym(a.Unmap().String()))
	})
}

// words finds what may have names in it: whole words, which dots and hyphens join.
var words = regexp.MustCompile(`[A-Za-z0-9_]+(?:[.-]+[A-Za-z0-9_]+)*`)

// word replaces names in a word: the longest from each beginning. A name that could be any word is replaced where it is all of one.
func (r *redactor) word(word []byte, field bool) []byte {
	var out []byte
	lower := bytes.ToLower(word)
	for from := 0; from < len(word); {
		to, is := r.longestName(lower, from, field)
		if is == "" {
			for to = from; to < len(word) && !joins(word[to]); to++ {
			}
			for to < len(word) && joins(word[to]) {
				to++
			}
			is = string(word[from:to])
		}
		out, from = append(out, is...), to
	}
	return out
}

func joins(c byte) bool { return c == '.' || c == '-' }

// longestName returns where the longest name that is known, from a place in a word on, ends, and what it stands for; empty: there is none.
func (r *redactor) longestName(lower []byte, from int, field bool) (end int, is string) {
	for to := min(len(lower), from+r.longest); to > from; to-- {
		if to < len(lower) && !joins(lower[to]) {
			continue
		}
		is := r.hosts[string(lower[from:to])]
		if plain := !bytes.ContainsAny(lower[from:to], ".-0123456789"); is != "" && !(plain && (field || to-from < len(lower))) {
			return to, is
		}
	}
	return 0, ""
}
