package front

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxHead is the largest head of a request that is read.
const maxHead = 256 << 10

// target is a host and a port that a request is for.
type target struct {
	host string
	port uint16
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// head is the head of a request to a proxy.
type head struct {
	method, target, version string
	fields                  []string // lines, with those that continue them
}

// endOfHead returns how long the head in b is; 0: it is not there to its end.
func endOfHead(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		line := bytes.TrimSuffix(b[i:i+n], []byte("\r"))
		if i += n + 1; len(line) == 0 && i > len("\r\n") {
			return i
		}
	}
}

var errNotHTTP = errors.New("this is not a request of HTTP/1")

// parseHead takes a head apart.
func parseHead(b []byte) (*head, error) {
	text := strings.TrimLeft(string(b), "\r\n")
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	words := strings.Fields(lines[0])
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		return nil, errNotHTTP
	}
	h := &head{method: words[0], target: words[1], version: words[2]}
	for _, line := range lines[1:] {
		line = strings.TrimSuffix(line, "\r")
		if n := len(h.fields); n > 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			h.fields[n-1] += "\r\n" + line
			continue
		}
		h.fields = append(h.fields, line)
	}
	return h, nil
}

// connectTarget is where a CONNECT is to.
func (h *head) connectTarget() (target, error) {
	host, port, err := net.SplitHostPort(h.target)
	if err != nil || host == "" {
		return target{}, fmt.Errorf("CONNECT %q names no host and port", h.target)
	}
	return parseTarget(host, port)
}

func parseTarget(host, port string) (target, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return target{}, fmt.Errorf("%q is not a port", port)
	}
	return target{host, uint16(n)}, nil
}

// absolute is where a request in absolute form is to, and its target as the server gets it.
func (h *head) absolute() (to target, path string, err error) {
	u, err := url.Parse(h.target)
	switch {
	case err != nil || u.Host == "" && u.Opaque == "":
		return to, "", fmt.Errorf("this is the proxy that fairlead run has its command call through, and %q names no host: give the proxy whole URLs", h.target)
	case !strings.EqualFold(u.Scheme, "http"):
		return to, "", fmt.Errorf("the proxy is asked for %s://; what is not http goes through CONNECT", u.Scheme)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if to, err = parseTarget(u.Hostname(), port); err != nil {
		return to, "", err
	}
	_, path, _ = strings.Cut(h.target, "://")
	i := strings.IndexAny(path, "/?#")
	switch {
	case i < 0 && h.method == "OPTIONS":
		return to, "*", nil // RFC 9112 section 3.2.4
	case i < 0:
		return to, "/", nil
	case path[i] == '/':
		return to, path[i:], nil
	}
	return to, "/" + path[i:], nil
}

// hopByHop are the fields that are between a client and its proxy. Connection is dealt with apart.
var hopByHop = []string{"proxy-connection", "proxy-authorization", "keep-alive"}

// rewritten is the head as a client sends it that calls the server itself, on a connection for this request alone: the next one may be for another
// server.
func (h *head) rewritten(path, host string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s %s\r\nHost: %s\r\n", h.method, path, h.version, host)
	connection := []string{"close"}
	for _, f := range h.fields {
		name, value, _ := strings.Cut(f, ":")
		switch lower := strings.ToLower(strings.TrimSpace(name)); {
		case lower == "host":
		case lower == "connection":
			connection = append(connection, options(value)...)
		case contains(hopByHop, lower):
		default:
			out.WriteString(f + "\r\n")
		}
	}
	out.WriteString("Connection: " + strings.Join(connection, ", ") + "\r\n\r\n")
	return out.Bytes()
}

// options are those of a Connection field that are not about how long it lasts.
func options(value string) (out []string) {
	for o := range strings.SplitSeq(value, ",") {
		if o = strings.TrimSpace(o); o != "" && !strings.EqualFold(o, "close") && !strings.EqualFold(o, "keep-alive") && !contains(hopByHop, strings.ToLower(o)) {
			out = append(out, o)
		}
	}
	return out
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// hostField is what a Host field says for a target: port 80 is left out, as clients do.
func (t target) hostField() string {
	if t.port != 80 {
		return t.String()
	}
	if a, err := netip.ParseAddr(t.host); err == nil && a.Is6() {
		return "[" + t.host + "]"
	}
	return t.host
}
