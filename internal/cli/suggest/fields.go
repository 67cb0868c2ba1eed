package suggest

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// protocols are those of the inventory, as policies name them. The table is never written to.
var protocols = map[string]v1alpha1.Protocol{"gRPC": v1alpha1.ProtocolGRPC, "TLS": v1alpha1.ProtocolTLS, "TCP": v1alpha1.ProtocolTCP}

// destinationOf is the destination of a policy for calls that were observed: their Service, host, or address.
func destinationOf(e *evidence) v1alpha1.Destination {
	to := e.flow.Destination
	if e.flow.Service != "" {
		to = e.flow.Service
	}
	if at, err := netip.ParseAddrPort(to); err == nil {
		return v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{
			Block: netip.PrefixFrom(at.Addr(), at.Addr().BitLen()).String(), Ports: []int32{int32(at.Port())}, Protocol: protocols[e.flow.Protocol],
		}}
	}
	named, port := splitPort(to)
	d := v1alpha1.Destination{Protocol: protocols[e.flow.Protocol]}
	if namespace, name, ok := strings.Cut(named, "/"); ok {
		d.Service = &v1alpha1.ServiceDestination{Name: name}
		if namespace != e.namespace {
			d.Service.Namespace = namespace
		}
		if port > 0 {
			p := intstr.FromInt32(port)
			d.Service.Port = &p
		}
		return d
	}
	d.Host = v1alpha1.Host(named)
	if port > 0 {
		d.Ports = []int32{port}
	}
	return d
}

// splitPort splits a port from what it is of; 0: there is none.
func splitPort(s string) (of string, port int32) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return s, 0
	}
	return s[:i], int32(n)
}

var unnamed = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf names a policy after who calls what.
func nameOf(e *evidence) string {
	of, _ := splitPort(e.flow.Destination)
	if _, name, ok := strings.Cut(of, "/"); ok {
		of = name
	}
	name := unnamed.ReplaceAllString(strings.ToLower(e.workload+"-"+of), "-")
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// rounded rounds a time up to two digits, as people write them.
func rounded(d time.Duration) v1alpha1.Duration {
	ms := float64(d) / float64(time.Millisecond)
	scale := math.Pow(10, math.Max(math.Floor(math.Log10(math.Max(ms, 1)))-1, 0))
	n := int64(math.Ceil(ms/scale) * scale)
	if n%1000 == 0 {
		return v1alpha1.Duration(strconv.FormatInt(n/1000, 10) + "s")
	}
	return v1alpha1.Duration(strconv.FormatInt(n, 10) + "ms")
}

// short is a time of the live API for people.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
