package routes

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

// hostPattern matches host names: an exact one, those with a suffix below which they have at least one label, or any.
type hostPattern struct {
	exact  string
	suffix string // with its leading dot
}

func compileHost(host string) hostPattern {
	if host == "*" {
		return hostPattern{}
	}
	if suffix, ok := strings.CutPrefix(host, "*"); ok {
		return hostPattern{suffix: suffix}
	}
	return hostPattern{exact: host}
}

// maxName is how long a name in the DNS may be without its final dot (RFC 1035 section 2.3.4). Longer ones match no pattern: what is
// kept of a destination is named by its host, and clients must not decide how much memory that takes.
const maxName = 253

// matches takes a lower-case name without port and final dot.
func (p *hostPattern) matches(name []byte) bool {
	switch {
	case len(name) > maxName:
		return false
	case p.exact != "":
		return string(name) == p.exact
	case p.suffix != "":
		labels := len(name) - len(p.suffix)
		return labels > 0 && string(name[labels:]) == p.suffix
	}
	return true
}

// AppendHost appends the name in a Host field value to dst: lower-case, without port, brackets and final dot.
func AppendHost(dst, host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		host = host[1:]
		if end := bytes.IndexByte(host, ']'); end >= 0 {
			host = host[:end]
		}
	} else if colon := bytes.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	host = bytes.TrimSuffix(host, []byte("."))
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// Request is a request as far as rules look at it.
type Request struct {
	Method []byte
	// Path is that of its target, see PathOf.
	Path []byte
	// GRPC: it is a gRPC call, which is a POST to /service/method.
	GRPC bool
	// Head is needed where Route.LooksAtHeads.
	Head Head
}

// Head is the head of a request.
type Head interface {
	// Host is the host that the request is for, with its port if it was given; empty if there is none.
	Host() []byte
	// AnyHeader reports whether there is a field with a name, given in lower case, that is forwarded and has a value that fits.
	AnyHeader(lower string, value interface{ Fits(text []byte) bool }) bool
}

// requestMatch is a policy.RequestMatch ready for use.
type requestMatch struct {
	methods []string
	kind    policy.PathMatch
	path    string
	pattern *policy.Pattern
	// of policy.PathGRPC; empty: any
	service, method string
	host            *hostPattern // nil: any
	headers         []headerMatch
}

func compileMatch(m *policy.RequestMatch) (requestMatch, error) {
	c := requestMatch{methods: m.Methods, kind: m.PathType, path: m.Path}
	if m.Host != "" {
		host := compileHost(m.Host)
		c.host = &host
	}
	for i := range m.Headers {
		h, err := compileHeader(&m.Headers[i])
		if err != nil {
			return c, err
		}
		c.headers = append(c.headers, h)
	}
	return c, c.compilePath(m)
}

func (c *requestMatch) compilePath(m *policy.RequestMatch) (err error) {
	switch m.PathType {
	case policy.PathAny, policy.PathExact:
	case policy.PathGRPC:
		service, name, ok := strings.Cut(m.Path, "/")
		if !ok || service == "" || name == "" {
			return fmt.Errorf("%q names no gRPC method", m.Path)
		}
		c.service, c.method = unlessAny(service), unlessAny(name)
	case policy.PathPrefix:
		// "/v1/" and "/v1" mean the same: whole path elements.
		c.path = strings.TrimRight(m.Path, "/")
	case policy.PathRegularExpression:
		c.pattern, err = policy.CompilePattern(m.Path)
	default:
		return fmt.Errorf("path match %d is not known", m.PathType)
	}
	return err
}

func unlessAny(name string) string {
	if name == "*" {
		return ""
	}
	return name
}

// matches reports whether a request fits.
func (m *requestMatch) matches(q *Request) bool {
	if len(m.methods) > 0 && !slices.ContainsFunc(m.methods, func(s string) bool { return s == string(q.Method) }) {
		return false
	}
	return m.matchesPath(q.Path, q.GRPC) && (m.host == nil && len(m.headers) == 0 || m.matchesHead(q.Head))
}

func (m *requestMatch) matchesPath(path []byte, grpc bool) bool {
	switch m.kind {
	case policy.PathAny:
		return true
	case policy.PathExact:
		return string(path) == m.path
	case policy.PathPrefix:
		return len(path) >= len(m.path) && string(path[:len(m.path)]) == m.path &&
			(len(path) == len(m.path) || path[len(m.path)] == '/')
	case policy.PathRegularExpression:
		return m.pattern.Fits(path)
	case policy.PathGRPC:
		return grpc && m.matchesCall(path)
	}
	return false
}

// matchesHead looks at what takes longer to find.
func (m *requestMatch) matchesHead(h Head) bool {
	if h == nil {
		return false
	}
	if m.host != nil {
		var space [256]byte
		if name := AppendHost(space[:0], h.Host()); len(name) == 0 || !m.host.matches(name) {
			return false
		}
	}
	for i := range m.headers {
		if !m.headers[i].isIn(h) {
			return false
		}
	}
	return true
}

// matchesCall looks at the path of a gRPC call: Path → "/" Service-Name "/" {method name}. A service's name may hold slashes in some
// implementations; the method is what follows the last.
func (m *requestMatch) matchesCall(path []byte) bool {
	last := bytes.LastIndexByte(path, '/')
	if last < 2 || last == len(path)-1 || path[0] != '/' {
		return false
	}
	return (m.service == "" || string(path[1:last]) == m.service) && (m.method == "" || string(path[last+1:]) == m.method)
}

// PathOf returns the path of a request target: without query and fragment, and without scheme and authority of an absolute form.
func PathOf(target []byte) []byte {
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	if len(target) == 0 || target[0] == '/' {
		return target
	}
	i := bytes.Index(target, []byte("://"))
	if i < 0 {
		return target
	}
	target = target[i+3:]
	if i = bytes.IndexByte(target, '/'); i < 0 {
		return root
	}
	return target[i:]
}

var root = []byte("/")
