package bundle

import (
	"bytes"
	"regexp"
	"strings"
)

// removed stands for what was removed.
const removed = "[redacted]"

// pattern is something in texts that is not to leave the cluster, whatever it is in. What its first group matches stays.
type pattern struct {
	kind string
	re   *regexp.Regexp
}

const (
	// secretName ends the names of what is secret.
	secretName = `(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)`
	// secretField is one whose value has several parts.
	secretField = `(?:authorization|cookie)`
	// assigned follows a name. Its quote may be escaped: texts may be in strings.
	assigned = `\\?["']?\s*[:=]\s*`
	// encoded is of the Base64 of a key, or what is between its lines, in a string too.
	encoded = `[A-Za-z0-9+/=-]|\s|\\[rn]`
	// quoted is a value in quotes, or from one to the end of a line that ends before it does.
	quoted = `\\"(?:[^"\\\r\n]|\\[^"\r\n])*(?:\\")?|"(?:[^"\\\r\n]|\\.)*"?|'[^'\r\n]*'?`
)

// patterns are those that are looked for in texts. The slice is never written to.
var patterns = []pattern{
	{"private key", regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)},
	// Logs are read from some line on, and long files are cut: a key may be there without its beginning or its end.
	{"private key", regexp.MustCompile(`()(?:` + encoded + `)*-----END [A-Z ]*PRIVATE KEY-----`)},
	{"private key", regexp.MustCompile(`()PRIVATE KEY-----(?:` + encoded + `)*`)},
	{"token", regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*`)},
	{"password", regexp.MustCompile(`(?i)(\b[a-z0-9_.-]*` + secretField + assigned + `)(?:` + quoted + `|[^\s"'{\[\\][^\r\n]*)`)},
	{"credentials", regexp.MustCompile(`(?i)(\b(?:bearer|basic|digest|negotiate)\s+)[A-Za-z0-9._~+/=-]{8,}`)},
	{"credentials", regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^\s/@"']+@`)},
	{"password", regexp.MustCompile(`(?i)(\b[a-z0-9_.-]*` + secretName + assigned + `)(?:` + quoted + `|[^\s"'{\[\\][^\s"']*)`)},
	{"query", regexp.MustCompile(`((?:https?://|"path":")[^\s"?]*\?)[^\s"]+`)},
}

// paths are those of calls, in lines that are no JSON.
var paths = pattern{"path", regexp.MustCompile(`(\\?"path\\?"\s*:\s*)(?:` + quoted + `)`)}

// redactor removes what is not to leave the cluster, and counts it by kind.
type redactor struct {
	counts map[string]int
	// key makes pseudonyms of hosts; nil: they stay.
	key []byte
	// hosts are those that are known, in lower case, with what they stand for; longest is how long the longest of them is.
	hosts   map[string]string
	longest int
}

func newRedactor(key []byte) *redactor {
	return &redactor{counts: map[string]int{}, key: key, hosts: map[string]string{}}
}

// text redacts a text.
func (r *redactor) text(b []byte) []byte {
	for i := range patterns {
		b = r.without(&patterns[i], b)
	}
	return r.names(b)
}

// without removes what a pattern finds.
func (r *redactor) without(p *pattern, b []byte) []byte {
	return p.re.ReplaceAllFunc(b, func(m []byte) []byte {
		keep := p.re.FindSubmatch(m)[1]
		if bytes.HasPrefix(bytes.TrimLeft(m[len(keep):], `\"'`), []byte(removed)) {
			return m
		}
		r.counts[p.kind]++
		return append(bytes.Clone(keep), p.instead()...)
	})
}

// instead stands for what a pattern has found. The @ of a URL's credentials stays.
func (p *pattern) instead() string {
	if strings.HasSuffix(p.re.String(), "+@") {
		return removed + "@"
	}
	return removed
}
