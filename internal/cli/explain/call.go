package explain

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Call is a call that somebody asks about.
type Call struct {
	Method string `json:"method,omitempty"`
	// Host is the name or address that the call is for, lower case and without port.
	Host string `json:"host"`
	Port uint16 `json:"port"`
	// Named is the host that the request's own Host field names, where that is another one, as Host is written.
	Named string `json:"named,omitempty"`
	// Address is where the client connects to; zero: that is not known.
	Address netip.Addr `json:"address,omitzero"`
	// Service is the Service that the host or the address is, as namespace/name; empty: none.
	Service string      `json:"service,omitempty"`
	Path    string      `json:"path,omitempty"`
	Headers [][2]string `json:"headers,omitempty"` // names in lower case
	GRPC    bool        `json:"grpc,omitempty"`
	HTTP2   bool        `json:"http2,omitempty"`
	TLS     bool        `json:"tls,omitempty"`
	// Opaque says that the connection carries no requests that anybody understands.
	Opaque bool `json:"opaque,omitempty"`
}

const destinationForms = "write a URL (https://api.example/v1), service.namespace:port, host:port or address:port"

// schemes are those of URLs, with the port that they mean.
var schemes = map[string]uint16{"http": 80, "https": 443, "grpc": 80, "grpcs": 443, "tcp": 0}

// parseDestination reads DEST. The port is 0 where it says none.
func parseDestination(dest string) (Call, error) {
	c := Call{Method: "GET", Path: "/"}
	text := dest
	if !strings.Contains(text, "://") {
		text = "//" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return c, fmt.Errorf("%q is no destination: %s", dest, destinationForms)
	}
	standard, known := schemes[u.Scheme]
	if u.Scheme != "" && !known {
		return c, fmt.Errorf("%q: %s is not a scheme that is known here (http, https, grpc, grpcs, tcp)", dest, u.Scheme)
	}
	c.Host, c.Port = strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), standard
	c.TLS = u.Scheme == "https" || u.Scheme == "grpcs"
	c.Opaque = u.Scheme == "tcp"
	if strings.HasPrefix(u.Scheme, "grpc") {
		c.GRPC, c.HTTP2, c.Method = true, true, "POST"
	}
	if p := u.Port(); p != "" {
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil || port == 0 {
			return c, fmt.Errorf("%q: %s is not a port from 1 to 65535", dest, p)
		}
		c.Port = uint16(port)
	}
	if u.Scheme == "" && c.Port == 443 {
		c.TLS = true
	}
	if u.EscapedPath() != "" {
		c.Path = u.EscapedPath()
	}
	if a, err := netip.ParseAddr(c.Host); err == nil {
		c.Address = a.Unmap()
	}
	return c, nil
}

// serviceOf returns the Services that a host may be, as namespace/name, for a pod of a namespace: the first that there is.
func serviceNames(host, namespace, domain string) []string {
	host = strings.TrimSuffix(host, ".svc."+domain)
	host = strings.TrimSuffix(host, ".svc")
	parts := strings.Split(host, ".")
	switch len(parts) {
	case 1:
		return []string{namespace + "/" + parts[0]}
	case 2:
		return []string{parts[1] + "/" + parts[0]}
	}
	return nil
}

// resolve finds the Service that a call is to, among those that are known, and where the client connects to.
func (c *Call) resolve(services []corev1.Service, namespace, domain string) error {
	names := serviceNames(c.Host, namespace, domain)
	for i := range services {
		svc := &services[i]
		if c.Address.IsValid() {
			if slices.Contains(svc.Spec.ClusterIPs, c.Address.String()) || svc.Spec.ClusterIP == c.Address.String() {
				c.Service = svc.Namespace + "/" + svc.Name
			}
			continue
		}
		if slices.Contains(names, svc.Namespace+"/"+svc.Name) && svc.Spec.Type != corev1.ServiceTypeExternalName {
			c.Service = svc.Namespace + "/" + svc.Name
			if a, err := netip.ParseAddr(svc.Spec.ClusterIP); err == nil {
				c.Address = a
			}
			if c.Port == 0 && len(svc.Spec.Ports) == 1 {
				c.Port = uint16(svc.Spec.Ports[0].Port)
			}
			break
		}
	}
	if c.Port == 0 {
		return fmt.Errorf("the port of %s is not known: write %s:80", c.Host, c.Host)
	}
	return nil
}

// host is the host that the call is for before its requests can be seen: in TLS that the pod itself speaks no Host field can be.
func (c *Call) host() string {
	if c.TLS {
		return c.Host
	}
	return c.requested()
}

// requested is the host that the request is for.
func (c *Call) requested() string { return cmp.Or(c.Named, c.Host) }

// name has the request name a host in its Host field.
func (c *Call) name(field string) {
	host := strings.ToLower(field)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host = strings.TrimSuffix(strings.Trim(host, "[]"), "."); host != c.Host {
		c.Named = host
	}
}

// Line shows the call in a line.
func (c *Call) Line() string {
	to := c.Host + ":" + strconv.Itoa(int(c.Port))
	if strings.Contains(c.Host, ":") {
		to = "[" + c.Host + "]:" + strconv.Itoa(int(c.Port))
	}
	switch {
	case c.Opaque:
		return "a connection to " + to
	case c.GRPC:
		return "gRPC " + c.Path + " at " + to + c.encrypted()
	}
	if c.Named != "" {
		to = c.Named + ", " + to
	}
	return c.Method + " " + c.Path + " at " + to + c.encrypted()
}

func (c *Call) encrypted() string {
	if c.TLS {
		return " over TLS"
	}
	return ""
}
