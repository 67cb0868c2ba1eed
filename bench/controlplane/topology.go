package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// The shape of the cluster.
const (
	maxNodes    = 5000 // as far as the addresses go
	podsPerNode = 30
	teams       = 20 // namespaces that the apps are spread over
	// maxEndpoints bounds an EndpointSlice, as Kubernetes does by default.
	maxEndpoints = 100
	appLabel     = "app"
)

// The policies that are edited. One selects a pod on every node, one a pod on one.
var (
	everywhere = policy.ID{Kind: policy.KindRetryPolicy, Namespace: "platform", Name: "everywhere"}
	alone      = policy.ID{Kind: policy.KindRetryPolicy, Namespace: "platform", Name: "alone"}
	// guardrails selects every pod. It is made late, as the other measures are of a cluster without it.
	guardrails = policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "guardrails"}
)

// topology is what the cluster holds: on every node a pod of each of the edited policies' kinds, and 28 pods of apps. Each app has a
// Service, and a policy for the calls that its pods make to the next app. There are two apps for five nodes.
type topology struct {
	nodes    []*corev1.Node
	pods     []*corev1.Pod
	apps     []*app
	policies []*v1alpha1.RetryPolicy
}

type app struct {
	name, team string
	addresses  []string // of its pods
}

func newTopology(n int) *topology {
	w := &topology{}
	for i := range max(teams, n*2/5) {
		w.apps = append(w.apps, &app{name: fmt.Sprintf("app-%04d", i), team: fmt.Sprintf("team-%02d", i%teams)})
	}
	for i := range n {
		w.addNode(i)
	}
	for i, a := range w.apps {
		w.policies = append(w.policies, a.policy(w.apps[(i+1)%len(w.apps)]))
	}
	w.policies = append(w.policies, edited(everywhere, "everywhere"), edited(alone, "alone-0000"))
	return w
}

func (w *topology) addNode(i int) {
	node := fmt.Sprintf("node-%04d", i)
	w.nodes = append(w.nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
	for j := range podsPerNode {
		ip := fmt.Sprintf("10.%d.%d.%d", 128+i/250, i%250, 2+j)
		switch j {
		case 0:
			w.pods = append(w.pods, newPod(everywhere.Namespace, fmt.Sprintf("everywhere-%04d", i), "everywhere", node, ip))
		case 1:
			name := fmt.Sprintf("alone-%04d", i)
			w.pods = append(w.pods, newPod(alone.Namespace, name, name, node, ip))
		default:
			a := w.apps[(i*podsPerNode+j)%len(w.apps)]
			a.addresses = append(a.addresses, ip)
			w.pods = append(w.pods, newPod(a.team, fmt.Sprintf("%s-%04d-%02d", a.name, i, j), a.name, node, ip))
		}
	}
}

func newPod(namespace, name, label, node, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{appLabel: label}},
		Spec: corev1.PodSpec{
			NodeName:   node,
			Containers: []corev1.Container{{Name: "main", Image: "bench.invalid/main"}}, // nothing runs it
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// policy governs the calls of the app's pods to another app, with a bit of everything.
func (a *app) policy(to *app) *v1alpha1.RetryPolicy {
	p := newPolicy(policy.ID{Namespace: a.team, Name: a.name}, a.name)
	p.Spec.To = []v1alpha1.Destination{{Service: &v1alpha1.ServiceDestination{Name: to.name, Namespace: to.team}}}
	p.Spec.Retry = &v1alpha1.Retry{
		MaxRetries: ptr.To[int32](2),
		When:       []v1alpha1.RetryCondition{v1alpha1.RetryOnConnectFailure, v1alpha1.RetryOnReset, v1alpha1.RetryOnGatewayError},
	}
	p.Spec.CircuitBreaker = &v1alpha1.CircuitBreaker{ConsecutiveFailures: ptr.To[int32](5)}
	p.Spec.ConnectionPool = &v1alpha1.ConnectionPool{MaxConnections: ptr.To[int32](100)}
	return p
}

// edited is a policy that will be edited, for the calls of the pods with that label.
func edited(id policy.ID, label string) *v1alpha1.RetryPolicy {
	p := newPolicy(id, label)
	p.Spec.To = []v1alpha1.Destination{{Host: v1alpha1.Host(id.Name + ".example")}}
	return p
}

func newPolicy(id policy.ID, label string) *v1alpha1.RetryPolicy {
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: id.Namespace, Name: id.Name}}
	p.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{appLabel: label}}
	p.Spec.Timeouts = &v1alpha1.Timeouts{Overall: duration(time.Second)}
	return p
}

func newClusterPolicy(id policy.ID) *v1alpha1.ClusterRetryPolicy {
	p := &v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: id.Name}}
	p.Spec.To = []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}}}
	p.Spec.Defaults = &v1alpha1.PolicyBody{}
	p.Spec.Defaults.Timeouts = &v1alpha1.Timeouts{Overall: duration(time.Second)}
	return p
}

func duration(d time.Duration) v1alpha1.Duration {
	return v1alpha1.Duration(fmt.Sprintf("%dms", d.Milliseconds()))
}

func (a *app) service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.team, Name: a.name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func (a *app) slice() *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: a.team, Name: a.name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: a.name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, ip := range a.addresses[:min(len(a.addresses), maxEndpoints)] {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
		})
	}
	return s
}
