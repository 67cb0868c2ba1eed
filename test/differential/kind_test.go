package differential

import (
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// kind is how the policy names the destination of a scenario, and with that how the client calls it.
type kind struct {
	name string
	// direct: the client calls the server's own address instead of the Service's.
	direct bool
	// tls: both ends speak TLS, and in governed runs the agent in between, too. The client offers alpn.
	tls  bool
	alpn string
	// proxied: the server is called through an HTTP proxy, by the client itself in direct runs.
	proxied bool
	// dryRun: the policy is a dry run that asks for much, and not one that asks for nothing.
	dryRun bool
	to     func(r *run) v1alpha1.Destination
}

// The kinds of destinations.
var (
	// service: by its cluster IP.
	service = kind{name: "service", to: toService("")}
	// serviceHTTP and serviceTCP: the same with the protocol declared.
	serviceHTTP = kind{name: "service-http", to: toService(v1alpha1.ProtocolHTTP)}
	serviceTCP  = kind{name: "service-tcp", to: toService(v1alpha1.ProtocolTCP)}
	// serviceHTTP2, serviceGRPC and serviceTLS: likewise.
	serviceHTTP2 = kind{name: "service-http2", to: toService(v1alpha1.ProtocolHTTP2)}
	serviceGRPC  = kind{name: "service-grpc", to: toService(v1alpha1.ProtocolGRPC)}
	serviceTLS   = kind{name: "service-tls", to: toService(v1alpha1.ProtocolTLS)}
	// translated: by its cluster IP, which becomes the server's address when a socket connects to it, as with Cilium.
	translated = kind{name: "translated", to: toService("")}
	// headless: a Service by the address of its pod, as the names of headless Services resolve.
	headless = kind{name: "headless", direct: true, to: toService("")}
	// host: by its name in the Host field.
	host = kind{name: "host", direct: true, to: func(r *run) v1alpha1.Destination {
		return v1alpha1.Destination{Host: serverName, Ports: []int32{int32(r.port())}}
	}}
	// neighbour: the policy names another host on the same port, so that connections are looked at and found to be none of its business.
	neighbour = kind{name: "neighbour", direct: true, to: func(r *run) v1alpha1.Destination {
		return v1alpha1.Destination{Host: "*.elsewhere.test", Ports: []int32{int32(r.port())}}
	}}
	// block: a range of addresses.
	block = kind{name: "cidr", direct: true, to: func(r *run) v1alpha1.Destination {
		b := "10.97.0.0/16"
		if r.addr().Addr().Is6() {
			b = "fd97::/16"
		}
		return v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: b}}
	}}
	// everything: any destination, called by the server's own address.
	everything = kind{name: "any", direct: true, to: func(*run) v1alpha1.Destination {
		return v1alpha1.Destination{Any: &v1alpha1.AnyDestination{}}
	}}
)

// The usual choices of kinds.
var (
	httpKinds = []kind{service, headless, host, block, serviceHTTP}
	rawKinds  = []kind{service, headless, everything, neighbour, serviceTCP}
	fewKinds  = []kind{service, host}
	h2Kinds   = []kind{service, host, serviceHTTP2}
	grpcKinds = []kind{service, host, serviceGRPC}
	tlsKinds  = []kind{host, neighbour, serviceTLS}
)

const (
	serverName  = "server.test"
	podUID      = "pod"
	namespace   = "shop"
	serviceName = "server"
	nodeName    = "node"
	zoneName    = "zone"
)

func toService(p v1alpha1.Protocol) func(*run) v1alpha1.Destination {
	return func(*run) v1alpha1.Destination {
		return v1alpha1.Destination{Service: &v1alpha1.ServiceDestination{Name: serviceName}, Protocol: p}
	}
}

// snapshot is what the manager makes of a policy that says nothing but to whom it applies, or of a dry run.
func snapshot(r *run, d *policy.Destination) *policy.Snapshot {
	r.Helper()
	t := r.TB
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "plain", CreationTimestamp: metav1.Time{Time: time.Unix(1, 0)}}}
	p.Spec.To = []v1alpha1.Destination{r.kind.to(r)}
	if r.kind.dryRun {
		p.Spec.Mode, p.Spec.PolicyBody = v1alpha1.ModeDryRun, rehearsed(r)
	}
	services := func(string) (*compile.Service, bool) {
		return &compile.Service{Ports: []compile.ServicePort{{Port: servicePort}}}, true
	}
	read, problems := compile.Read(compile.FromRetryPolicy(p), services, authority)
	if len(problems) > 0 {
		t.Fatalf("the policy has problems: %+v", problems)
	}
	profile := compile.Compile("plain", []*compile.Policy{read})
	roots := map[string]*policy.Roots{}
	if name := profile.Bindings[0].To.TLS.Roots; name != "" {
		roots[name] = &policy.Roots{Name: name, Certificates: certificate().Certificate}
	}
	pairs := map[string]*policy.KeyPair{}
	if name := profile.Bindings[0].To.TLS.Issuer; name != "" {
		pairs[name] = issuer()
	}
	return &policy.Snapshot{
		Roots:        roots,
		KeyPairs:     pairs,
		Workloads:    map[string]*policy.Workload{podUID: {UID: podUID, Namespace: namespace, Name: "client", Profile: profile.Name, Zone: zoneName}},
		Profiles:     map[string]*policy.Profile{profile.Name: profile},
		Destinations: map[string]*policy.Destination{d.Name: d},
	}
}

// destination is the Service as the manager describes it to agents.
func destination(clusterIPs []netip.Addr, endpoints []netip.AddrPort) *policy.Destination {
	return &policy.Destination{
		Name: namespace + "/" + serviceName, ClusterIPs: clusterIPs, Hostnames: []string{serviceName + "." + namespace + ".svc"},
		Ports: []policy.DestinationPort{{Port: servicePort, Endpoints: policy.Ready(endpoints...)}},
	}
}
