package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

// misfit returns why a call does not fit a rule, or "" if it does. A rule without matches fits nothing, as with agents.
func misfit(r *policy.Rule, c *Call) string {
	why := "it has no match"
	for i := range r.Match {
		if why = misses(&r.Match[i], c); why == "" {
			return ""
		}
	}
	return why
}

// misses returns why a request that can be seen, which one in TLS is where it is intercepted, does not fit, or "" if it does.
func misses(m *policy.RequestMatch, c *Call) string {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, c.Method) {
		return fmt.Sprintf("the method is %s, not %s", c.Method, strings.Join(m.Methods, " or "))
	}
	if why := missesPath(m, c); why != "" {
		return why
	}
	if host := c.requested(); m.Host != "" && (host == "" || !hostFits(m.Host, host)) {
		return fmt.Sprintf("the host is %s, not %s", host, m.Host)
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		if !slices.ContainsFunc(c.Headers, func(f [2]string) bool { return f[0] == h.Name && headerFits(h, f[1]) }) {
			return "no header field " + describeHeader(h)
		}
	}
	return ""
}

func missesPath(m *policy.RequestMatch, c *Call) string {
	path := c.Path
	switch m.PathType {
	case policy.PathAny:
		return ""
	case policy.PathExact:
		if path == m.Path {
			return ""
		}
	case policy.PathPrefix:
		prefix := strings.TrimRight(m.Path, "/")
		if strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/') {
			return ""
		}
	case policy.PathRegularExpression:
		if p, err := policy.CompilePattern(m.Path); err == nil && p.Fits([]byte(path)) {
			return ""
		}
	case policy.PathGRPC:
		if !c.GRPC {
			return "it is no gRPC call"
		}
		if grpcFits(m.Path, path) {
			return ""
		}
		return fmt.Sprintf("the gRPC method is %s, not %s", strings.TrimPrefix(path, "/"), m.Path)
	}
	return fmt.Sprintf("the path is %s, not %s %s", path, m.PathType, m.Path)
}

// grpcFits compares the path of a gRPC call with "service/method", of which either may be "*".
func grpcFits(pattern, path string) bool {
	service, method, _ := strings.Cut(pattern, "/")
	last := strings.LastIndexByte(path, '/')
	if last < 2 || last == len(path)-1 || path[0] != '/' {
		return false
	}
	return (service == "*" || path[1:last] == service) && (method == "*" || path[last+1:] == method)
}

// hostFits compares a name with one, "*.suffix" for every name below suffix, or "*".
func hostFits(pattern, name string) bool {
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return len(name) <= maxName && strings.HasSuffix(name, suffix) && (suffix == "" || len(name) > len(suffix))
	}
	return pattern == name
}

// maxName is how long a name in the DNS may be: no longer one fits anything.
const maxName = 253

func headerFits(h *policy.RequestHeader, value string) bool {
	switch h.Type {
	case policy.ValueAny:
		return true
	case policy.ValueExact:
		return value == h.Value
	case policy.ValuePrefix:
		return strings.HasPrefix(value, h.Value)
	case policy.ValueRegularExpression:
		p, err := policy.CompilePattern(h.Value)
		return err == nil && p.Fits([]byte(value))
	}
	return false
}

func describeHeader(h *policy.RequestHeader) string {
	switch h.Type {
	case policy.ValueAny:
		return h.Name
	case policy.ValueExact:
		return fmt.Sprintf("%s: %s", h.Name, h.Value)
	case policy.ValuePrefix:
		return fmt.Sprintf("%s that starts with %s", h.Name, h.Value)
	case policy.ValueRegularExpression:
	}
	return fmt.Sprintf("%s that fits %s", h.Name, h.Value)
}

// fit is whether a destination fits a call.
type fit uint8

const (
	no fit = iota
	yes
	unknown // the address decides, and is not known
)

// fits reports whether a binding's destination is that of a call, and why not.
func fits(to *policy.Target, c *Call, find func(string) *policy.Destination) (fit, string) {
	if to.Kind == policy.TargetService {
		return fitsService(to, c, find)
	}
	if len(to.Ports) > 0 && !slices.Contains(to.Ports, c.Port) {
		return no, fmt.Sprintf("port %d is none of its ports", c.Port)
	}
	switch to.Kind {
	case policy.TargetHost:
		if host := c.host(); !hostFits(to.Host, host) {
			return no, "the host is " + host
		}
	case policy.TargetCIDR:
		if !c.Address.IsValid() {
			return unknown, "it depends on the address of " + c.Host + ": say it with --address"
		}
		if !to.Block.Contains(c.Address) {
			return no, "the address is " + c.Address.String()
		}
		if i := slices.IndexFunc(to.Except, func(e netip.Prefix) bool { return e.Contains(c.Address) }); i >= 0 {
			return no, "it excepts " + to.Except[i].String()
		}
	case policy.TargetAny, policy.TargetService:
	}
	return yes, ""
}

func fitsService(to *policy.Target, c *Call, find func(string) *policy.Destination) (fit, string) {
	d := find(to.Service)
	if d == nil {
		return no, "there is no such Service"
	}
	covers := func(port uint16) bool { return len(to.Ports) == 0 || slices.Contains(to.Ports, port) }
	for i := range d.Ports {
		p := &d.Ports[i]
		if !covers(p.Port) {
			continue
		}
		if c.Service == to.Service && c.Port == p.Port {
			return yes, ""
		}
		own := func(e policy.Endpoint) bool { return e.Addr == netip.AddrPortFrom(c.Address, c.Port) }
		if slices.ContainsFunc(p.Endpoints, own) {
			return yes, "the address is one of its endpoints', so the call goes to that one"
		}
	}
	if c.Service == to.Service {
		return no, fmt.Sprintf("port %d is none of its ports", c.Port)
	}
	if c.Service != "" {
		return no, "the call is to Service " + c.Service
	}
	return no, "the call is not to its addresses"
}
