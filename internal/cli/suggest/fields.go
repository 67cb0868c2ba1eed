package suggest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// protocolOf is that of a policy's destination; empty: it is found out for each connection.
func protocolOf(e *evidence) v1alpha1.Protocol {
	if e.mixed {
		return ""
	}
	return protocols[e.flow.Protocol]
}

// destinationOf is the destination of a policy for calls that were observed: their Service, host, or address.
func destinationOf(e *evidence) v1alpha1.Destination {
	to := e.flow.Destination
	if e.flow.Service != "" {
		to = e.flow.Service
	}
	if at, err := netip.ParseAddrPort(to); err == nil {
		return v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{
			Block: netip.PrefixFrom(at.Addr(), at.Addr().BitLen()).String(), Ports: []int32{int32(at.Port())}, Protocol: protocolOf(e),
		}}
	}
	named, port := splitPort(to)
	d := v1alpha1.Destination{Protocol: protocolOf(e)}
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

// longestName is how long the name of a policy is at most here: so that it may be the value of a label.
const longestName = 63

// nameOf names a policy after who calls what.
func nameOf(e *evidence) string {
	of, _ := splitPort(e.flow.Destination)
	if _, name, ok := strings.Cut(of, "/"); ok {
		of = name
	}
	name := unnamed.ReplaceAllString(strings.ToLower(e.workload+"-"+of), "-")
	return strings.Trim(name[:min(len(name), longestName)], "-")
}

// names names the policies of all evidence. Names that are the same get a suffix each that is always the same for a destination: of two policies with one
// name kubectl apply would keep the last.
func names(all []*evidence) {
	times := map[string]int{}
	for _, e := range all {
		e.name = nameOf(e)
		times[e.name]++
	}
	for _, e := range all {
		if times[e.name] > 1 {
			sum := sha256.Sum256([]byte(e.flow.Destination + " " + e.flow.Protocol))
			suffix := "-" + hex.EncodeToString(sum[:4])
			e.name = strings.TrimRight(e.name[:min(len(e.name), longestName-len(suffix))], "-") + suffix
		}
	}
}

// together marks evidence of one and the same destination for a policy, which is for all protocols that are spoken there: that with most calls is the one
// that a policy is made of, without a protocol, so that it is found out for each connection.
func together(all []*evidence) {
	most := map[string]*evidence{}
	for _, e := range all {
		to := destinationOf(e)
		to.Protocol = ""
		if to.CIDR != nil {
			to.CIDR.Protocol = ""
		}
		text, _ := json.Marshal(to) // a destination can be written
		first := most[string(text)]
		switch {
		case first == nil:
			most[string(text)] = e
			continue
		case first.flow.Calls < e.flow.Calls:
			first, e, most[string(text)] = e, first, e
		}
		e.instead = &first.flow
		first.mixed = first.mixed || e.mixed || first.flow.Protocol != e.flow.Protocol
	}
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
