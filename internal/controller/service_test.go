package controller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// What a Service asks about the choice of its endpoints is seen in what the cache keeps of it.
func TestWhoPicksTheEndpointsOfAService(t *testing.T) {
	local, anywhere := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster
	for name, tc := range map[string]struct {
		spec        corev1.ServiceSpec
		annotations map[string]string
		want        string
	}{
		"nothing asked":           {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: &anywhere}, nil, ""},
		"session affinity":        {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP}, nil, v1alpha1.ReasonServiceAffinity},
		"local traffic":           {corev1.ServiceSpec{InternalTrafficPolicy: &local}, nil, v1alpha1.ReasonServiceTrafficPolicy},
		"traffic distribution":    {corev1.ServiceSpec{TrafficDistribution: ptr.To("PreferClose")}, nil, v1alpha1.ReasonServiceTrafficDistribution},
		"a distribution to come":  {corev1.ServiceSpec{TrafficDistribution: ptr.To("Whatever")}, nil, v1alpha1.ReasonServiceTrafficDistribution},
		"topology mode":           {corev1.ServiceSpec{}, map[string]string{corev1.AnnotationTopologyMode: "Auto"}, v1alpha1.ReasonServiceTrafficDistribution},
		"topology hints":          {corev1.ServiceSpec{}, map[string]string{corev1.DeprecatedAnnotationTopologyAwareHints: "auto"}, v1alpha1.ReasonServiceTrafficDistribution},
		"topology mode, disabled": {corev1.ServiceSpec{}, map[string]string{corev1.AnnotationTopologyMode: "Disabled"}, ""},
		"another annotation":      {corev1.ServiceSpec{}, map[string]string{"team": "shop"}, ""},
		"headless": {corev1.ServiceSpec{ClusterIPs: []string{corev1.ClusterIPNone}, SessionAffinity: corev1.ServiceAffinityClientIP,
			TrafficDistribution: ptr.To("PreferClose")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Annotations: tc.annotations}, Spec: tc.spec}
			if svc.Spec.ClusterIPs == nil {
				svc.Spec.ClusterIPs = []string{"10.0.0.1"}
			}
			kept, err := trimService(svc)
			if err != nil {
				t.Fatal(err)
			}
			c := &cluster{reader: fake.NewClientBuilder().WithObjects(kept.(*corev1.Service)).Build()}
			if s, ok := c.Service("shop/api"); !ok || s.ClusterPicks != tc.want {
				t.Errorf("the cluster picks because of %q, want %q", s.ClusterPicks, tc.want)
			}
		})
	}
}

// Endpoints that end and still serve are used when there is no other, in each family by itself.
func TestEndpointsAreThoseThatTheClusterWouldUse(t *testing.T) {
	conditions := func(ready, serving, terminating *bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}
	}
	yes, no := ptr.To(true), ptr.To(false)
	ready, unready := conditions(yes, yes, no), conditions(no, no, no)
	ending, ended := conditions(no, yes, yes), conditions(no, no, yes)
	starting := conditions(no, yes, no) // serving, and neither ready nor ending: not for us
	type at map[string]discoveryv1.EndpointConditions
	for name, tc := range map[string]struct {
		give at
		want []string
	}{
		"ready ones":                                {at{"10.1.0.1": ready, "10.1.0.2": ending, "10.1.0.3": unready}, []string{"10.1.0.1:8080"}},
		"only ending ones":                          {at{"10.1.0.1": ending, "10.1.0.2": ended, "10.1.0.3": unready}, []string{"10.1.0.1:8080"}},
		"ready in one family, ending in both":       {at{"10.1.0.1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.1:8080", "[fd01::2]:8080"}},
		"ready in the other, ending in both":        {at{"fd01::1": ready, "10.1.0.2": ending, "fd01::2": ending}, []string{"10.1.0.2:8080", "[fd01::1]:8080"}},
		"nobody knows better":                       {at{"10.1.0.1": conditions(nil, nil, nil)}, []string{"10.1.0.1:8080"}},
		"not ready, published (marked as ready)":    {at{"10.1.0.1": conditions(yes, no, no), "10.1.0.2": conditions(yes, no, yes)}, []string{"10.1.0.1:8080", "10.1.0.2:8080"}},
		"none":                                      {at{"10.1.0.1": unready, "10.1.0.2": ended, "10.1.0.3": starting}, nil},
		"one family only":                           {at{"fd01::1": ready}, []string{"[fd01::1]:8080"}},
		"both families":                             {at{"10.1.0.1": ready, "fd01::1": ready}, []string{"10.1.0.1:8080", "[fd01::1]:8080"}},
		"a name, which is no address to connect to": {at{"host.example": ready}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var list []discoveryv1.EndpointSlice
			for address, c := range tc.give {
				s := slice(address, "api", discoveryv1.AddressTypeIPv4, 8080, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c})
				kept, err := trimSlice(s)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, *kept.(*discoveryv1.EndpointSlice))
			}
			var got []string
			for _, a := range endpoints(list, "http") {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

func balancing(out *published) map[string][]policy.LoadBalancing {
	got := map[string][]policy.LoadBalancing{}
	for name, p := range out.Profiles {
		for i := range p.Bindings {
			got[name] = append(got[name], p.Bindings[i].Base.LoadBalancing)
			for j := range p.Bindings[i].Rules {
				got[name] = append(got[name], p.Bindings[i].Rules[j].Settings.LoadBalancing)
			}
		}
	}
	return got
}

// A Service that begins or ceases to ask for something changes what agents do at once, whoever names it and however.
func TestAServiceThatAsksForTheClustersChoiceGetsIt(t *testing.T) {
	const rule = `rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}]`
	for name, tell := range map[string]func(x *index){
		"by name": func(x *index) {
			x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api, port: http}}], `+rule+`, loadBalancing: {policy: Random}}`))
		},
		"as the callers' own": func(x *index) {
			x.setPolicy("c", clusterPolicy(t, "c", 1, `{to: [{service: {name: api, port: http}}], defaults: {`+rule+`, loadBalancing: {policy: Random}}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.services["shop/api"] = service{port: 80}
			x, out := newIndex(w, "fairlead-system"), newPublished()
			x.setNamespace("shop", nil)
			tell(x)
			x.setPod(testPod("shop", "a", "node-1", "a"))
			x.flush(out)
			want := func(what string, lb policy.LoadBalancing) {
				t.Helper()
				x.serviceChanged("shop/api")
				x.flush(out)
				for name, got := range balancing(out) {
					if diff := cmp.Diff([]policy.LoadBalancing{lb, lb}, got); diff != "" {
						t.Errorf("%s: %s: binding and rule (-want +got):\n%s", what, name, diff)
					}
				}
				if len(out.Profiles) != 1 {
					t.Errorf("%s: %d profiles", what, len(out.Profiles))
				}
			}
			want("nothing asked", policy.RandomEndpoint)
			w.services["shop/api"] = service{port: 80, picks: v1alpha1.ReasonServiceAffinity}
			want("affinity", policy.ClusterIP)
			before := x.compiles
			w.services["shop/api"] = service{port: 80, picks: v1alpha1.ReasonServiceAffinity, endpoints: 3}
			want("more endpoints", policy.ClusterIP)
			if x.compiles != before {
				t.Errorf("profiles were drawn again for a change of endpoints")
			}
			w.services["shop/api"] = service{port: 80}
			want("nothing any more", policy.RandomEndpoint)
		})
	}
}

// A last good version, which is not read again, follows its Service too.
func TestAVersionThatStaysInForceFollowsItsService(t *testing.T) {
	w := newWorld()
	w.services["shop/api"] = service{port: 80}
	x, out := newIndex(w, "fairlead-system"), newPublished()
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}]}`))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.flush(out)
	x.setPolicy("p", retryPolicy(t, "shop", "p", 2, `{to: [{service: {name: api}}, {service: {name: nowhere}}]}`))
	x.flush(out)
	w.services["shop/api"] = service{port: 80, picks: v1alpha1.ReasonServiceTrafficPolicy}
	x.serviceChanged("shop/api")
	x.flush(out)
	if got := balancing(out); got["shop/p"][0] != policy.ClusterIP {
		t.Errorf("balancing %v", got)
	}
}

// A binding of another Service that is drawn from the same policies keeps its own balancing.
func TestOnlyTheServiceThatAsksIsLeftToTheCluster(t *testing.T) {
	w := newWorld()
	w.services["shop/api"] = service{port: 80, picks: v1alpha1.ReasonServiceAffinity}
	w.services["shop/web"] = service{port: 80}
	x, out := newIndex(w, "fairlead-system"), newPublished()
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}, {host: a.example}],
		rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}], loadBalancing: {policy: RoundRobin}}`))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.flush(out)
	got := map[string][]policy.LoadBalancing{}
	for _, b := range out.Profiles["shop/p"].Bindings {
		got[b.To.String()] = []policy.LoadBalancing{b.Base.LoadBalancing, b.Rules[0].Settings.LoadBalancing}
	}
	want := map[string][]policy.LoadBalancing{
		"service shop/api": {policy.ClusterIP, policy.ClusterIP},
		"service shop/web": {policy.RoundRobin, policy.RoundRobin},
		"host a.example":   {policy.RoundRobin, policy.RoundRobin},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatusSaysThatTheClusterPicks(t *testing.T) {
	for name, tc := range map[string]struct {
		balancing string
		enforced  v1alpha1.Enforcement
		fields    []v1alpha1.NotEnforcedField
		ready     string
	}{
		"nothing written": {``, v1alpha1.EnforcementFull, nil, "The cluster picks the endpoints of shop/api, as its sessionAffinity asks."},
		"written": {`, loadBalancing: {policy: RoundRobin}`, v1alpha1.EnforcementPartial,
			[]v1alpha1.NotEnforcedField{{Field: "loadBalancing.policy", Reason: v1alpha1.ReasonServiceAffinity}},
			"Left to the cluster, as the Service's sessionAffinity asks: loadBalancing.policy."},
		"written as it is": {`, loadBalancing: {policy: ClusterIP}`, v1alpha1.EnforcementFull, nil, "In force for 1 pod on 1 node."},
		"another endpoint for each retry": {`, retry: {avoidPreviousEndpoints: true}`, v1alpha1.EnforcementPartial,
			[]v1alpha1.NotEnforcedField{{Field: "retry.avoidPreviousEndpoints", Reason: v1alpha1.ReasonServiceAffinity}},
			"Left to the cluster, as the Service's sessionAffinity asks: retry.avoidPreviousEndpoints."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.services["shop/api"] = service{port: 80, endpoints: 1, picks: v1alpha1.ReasonServiceAffinity}
			w.services["shop/web"] = service{port: 80, endpoints: 1}
			x := newIndex(w, "fairlead-system")
			src := retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}]`+tc.balancing+`}`)
			x.setPolicy("p", src)
			x.setPod(testPod("shop", "a", "node-1", "a"))
			x.flush(newPublished())
			v, _ := x.view(src.ID)
			s := statusOf(&v, &reported{rollout: distribute.Rollout{Desired: 1, Programmed: 1}}, before(), metav1.NewTime(begin))
			if d := s.Destinations[0]; d.Enforced != tc.enforced || !cmp.Equal(d.NotEnforced, tc.fields) {
				t.Errorf("%s: enforced %s, not: %v", d.To, d.Enforced, d.NotEnforced)
			}
			if d := s.Destinations[1]; d.Enforced != v1alpha1.EnforcementFull {
				t.Errorf("%s: enforced %s, not: %v", d.To, d.Enforced, d.NotEnforced)
			}
			ready := ""
			for _, c := range s.Conditions {
				switch c.Type {
				case v1alpha1.ConditionReady:
					ready = c.Message
				case v1alpha1.ConditionAccepted:
					if c.Reason != v1alpha1.ReasonAccepted {
						t.Errorf("accepted with %s", c.Reason)
					}
				}
			}
			if !strings.Contains(ready, tc.ready) {
				t.Errorf("ready: %q, want %q in it", ready, tc.ready)
			}
		})
	}
}

// Both families of a Service reach agents, and ports without any endpoint too.
func TestADestinationHasBothFamiliesAndItsEmptyPorts(t *testing.T) {
	ready := ptr.To(true)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"}, Spec: corev1.ServiceSpec{
		ClusterIPs: []string{"fd00::1", "10.0.0.1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 81}}}}
	reader := fake.NewClientBuilder().WithObjects(svc,
		slice("four", "api", discoveryv1.AddressTypeIPv4, 8080, endpoint("10.1.0.1", ready)),
		slice("six", "api", discoveryv1.AddressTypeIPv6, 8080, endpoint("fd01::1", ready), endpoint("fd01::2", ready)),
	).WithIndex(&discoveryv1.EndpointSlice{}, serviceIndex, indexSlice).Build()
	got, _ := (&cluster{reader: reader}).Destination("shop/api")
	want := []policy.DestinationPort{
		{Port: 80, Name: "http", Endpoints: []netip.AddrPort{
			netip.MustParseAddrPort("10.1.0.1:8080"), netip.MustParseAddrPort("[fd01::1]:8080"), netip.MustParseAddrPort("[fd01::2]:8080")}},
		{Port: 81, Name: "admin"},
	}
	if diff := cmp.Diff(want, got.Ports, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(got.ClusterIPs) != 2 {
		t.Errorf("cluster IPs %v, ports (-want +got):\n%s", got.ClusterIPs, diff)
	}
}
