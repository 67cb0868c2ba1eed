package policies

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Service says where a Service is.
type Service struct {
	Name, Namespace string
	Ports           []ServicePort
}

// ServicePort is one of its ports.
type ServicePort struct {
	Port uint16
	// Name is that of the port; empty: it has none.
	Name string
	// At is what serves it.
	At []netip.AddrPort
}

// serviceNet is where Services have their addresses: a block that is for tests of networks (RFC 2544), so nothing else is called by them.
var serviceNet = netip.MustParseAddr("198.19.255.0")

// maxServices is how many addresses the block has.
const maxServices = 254

// ParseServices reads what --service says: NAME.NAMESPACE:PORT=ADDRESS:PORT,... in which PORT may be followed by /NAME for a port with a name.
// Several may be about one Service.
func ParseServices(texts []string) ([]Service, error) {
	var out []Service
	for _, text := range texts {
		name, port, err := parseService(text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(out, func(s Service) bool { return s.Name == name.Name && s.Namespace == name.Namespace })
		if i < 0 {
			i, out = len(out), append(out, name)
		}
		out[i].add(port)
	}
	if len(out) > maxServices {
		return nil, fmt.Errorf("--service names %d Services; at most %d are possible", len(out), maxServices)
	}
	return out, nil
}

func parseService(text string) (s Service, p ServicePort, err error) {
	bad := func(why string) (Service, ServicePort, error) {
		return s, p, fmt.Errorf("--service %s: %s; write it as inventory.warehouse:80=127.0.0.1:9000", text, why)
	}
	left, right, ok := strings.Cut(text, "=")
	host, port, hasPort := strings.Cut(left, ":")
	var hasNamespace bool
	if s.Name, s.Namespace, hasNamespace = strings.Cut(host, "."); !ok || !hasPort || !hasNamespace || s.Name == "" || s.Namespace == "" {
		return bad("this is not a Service, its namespace and a port, and where that is")
	}
	s.Namespace, _, _ = strings.Cut(s.Namespace, ".") // .svc.cluster.local
	port, p.Name, _ = strings.Cut(port, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return bad(fmt.Sprintf("%q is not a port", port))
	}
	p.Port = uint16(n)
	for at := range strings.SplitSeq(right, ",") {
		addr, err := netip.ParseAddrPort(strings.Replace(at, "localhost:", "127.0.0.1:", 1))
		if err != nil || addr.Port() == 0 {
			return bad(fmt.Sprintf("%q is not an address with a port", at))
		}
		p.At = append(p.At, addr)
	}
	return s, p, nil
}

// add adds a port, or more of what serves one.
func (s *Service) add(p ServicePort) {
	i := slices.IndexFunc(s.Ports, func(o ServicePort) bool { return o.Port == p.Port })
	if i < 0 {
		s.Ports = append(s.Ports, p)
		return
	}
	s.Ports[i].At = append(s.Ports[i].At, p.At...)
	s.Ports[i].Name = orDefault(p.Name, s.Ports[i].Name)
}

func (s *Service) key() string { return s.Namespace + "/" + s.Name }

// dotted turns "namespace/name" into "name.namespace".
func dotted(key string) string {
	namespace, name, _ := strings.Cut(key, "/")
	return name + "." + namespace
}

// address is that of the Service that stands at a place in the list.
func address(i int) netip.Addr {
	a := serviceNet.As4()
	a[3] = byte(i + 1)
	return netip.AddrFrom4(a)
}

// names are those under which pods call the Service.
func (s *Service) names(from string) []string {
	long := s.Name + "." + s.Namespace
	out := []string{long, long + ".svc", long + ".svc.cluster.local"}
	if s.Namespace == from {
		out = append(out, s.Name)
	}
	return out
}

// destination is the Service as the data plane sees it.
func (s *Service) destination(i int) *policy.Destination {
	d := &policy.Destination{Name: s.key(), ClusterIPs: []netip.Addr{address(i)}, Hostnames: s.names(s.Namespace)}
	for _, p := range s.Ports {
		at := slices.Clone(p.At)
		slices.SortFunc(at, netip.AddrPort.Compare)
		d.Ports = append(d.Ports, policy.DestinationPort{Port: p.Port, Name: p.Name, Endpoints: policy.Ready(slices.Compact(at)...)})
	}
	return d
}

// lookup is a compile.Lookup.
func (o *Options) lookup(key string) (*compile.Service, bool) {
	for _, s := range o.Services {
		if s.key() != key {
			continue
		}
		out := &compile.Service{}
		for _, p := range s.Ports {
			out.Ports = append(out.Ports, compile.ServicePort{Name: p.Name, Port: p.Port})
		}
		return out, true
	}
	return nil, false
}

// ServiceAddress finds the address of a Service by one of the names that pods of a namespace call it by. A name of a Service that has no such port is
// an error; a port of 0 is any.
func ServiceAddress(all []Service, from, host string, port uint16) (a netip.Addr, ok bool, err error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i := range all {
		s := &all[i]
		if !slices.Contains(s.names(from), host) {
			continue
		}
		if port != 0 && !slices.ContainsFunc(s.Ports, func(p ServicePort) bool { return p.Port == port }) {
			return a, true, fmt.Errorf("Service %s has no port %d; say where it is with --service %s:%d=HOST:PORT", s.key(), port, dotted(s.key()), port)
		}
		return address(i), true, nil
	}
	return a, false, nil
}

// Direct is what a connection to the address of a Service goes to where no policy governs it: its first endpoint.
func Direct(all []Service, to netip.AddrPort) netip.AddrPort {
	for i := range all {
		if address(i) != to.Addr() {
			continue
		}
		for _, p := range all[i].Ports {
			if p.Port == to.Port() {
				return p.At[0]
			}
		}
	}
	return to
}
