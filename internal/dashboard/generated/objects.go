package generated

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// objects makes what the API server has.
func (c *Cluster) objects() []client.Object {
	out := c.system()
	for i := range c.size.Namespaces {
		name := namespaceName(i)
		out = append(out, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name, "team": domainNames[i%len(domainNames)]}}})
		out = append(out, c.podsOf(name)...)
		for j := range c.size.PoliciesEach {
			out = append(out, c.service(name, j))
			out = append(out, c.retryPolicy(name, i, j))
		}
	}
	for _, name := range []string{"base", "guard"} {
		out = append(out, c.clusterPolicy(name))
	}
	for _, p := range c.pods {
		for _, m := range c.policies {
			if m.namespace == p.Namespace && !slices.Contains(c.byNode[p.Spec.NodeName], m) {
				c.byNode[p.Spec.NodeName] = append(c.byNode[p.Spec.NodeName], m)
			}
		}
	}
	return out
}

// system are fairlead's own objects, and the nodes' leases.
func (c *Cluster) system() []client.Object {
	n := int32(c.size.Nodes) //nolint:gosec // a few thousand
	spec := func(image string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
	}
	out := []client.Object{
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: "fairlead-manager"},
			Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](2), Template: spec("fairlead.dev/manager:v0.9.0")},
			Status:     appsv1.DeploymentStatus{ReadyReplicas: 2, UpdatedReplicas: 2},
		},
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: "fairlead-agent"},
			Spec:       appsv1.DaemonSetSpec{Template: spec("fairlead.dev/agent:v0.9.0")},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: n, NumberReady: n - 1, UpdatedNumberScheduled: n},
		},
		c.programPod("fairlead-manager", "fairlead-manager-1", NodeName(0)),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: "fairlead-ca"}, Data: map[string]string{"ca.crt": authority()}},
	}
	for i := range c.size.Nodes {
		pod := c.programPod("fairlead-agent", fmt.Sprintf("fairlead-agent-%04d", i), NodeName(i))
		c.agents[pod.Name] = pod
		if i == 1 {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
		}
		out = append(out, pod)
	}
	for i := range min(c.size.Nodes, 50) { // those that a check compares the clock with
		out = append(out, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: NodeName(i)},
			Spec:       coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(time.Now()))},
		})
	}
	return out
}

func (c *Cluster) programPod(component, name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: name, UID: types.UID(name), Labels: map[string]string{"app.kubernetes.io/name": component}},
		Spec:       corev1.PodSpec{NodeName: node},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func (c *Cluster) podsOf(namespace string) []client.Object {
	var out []client.Object
	for i := range c.size.PodsEach {
		app := workloadNames[i%len(workloadNames)]
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", app, i), Labels: map[string]string{"app": app}},
			Spec:       corev1.PodSpec{NodeName: NodeName(c.rnd.IntN(c.size.Nodes))},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		}
		c.pods = append(c.pods, pod)
		out = append(out, pod)
	}
	return out
}

func (c *Cluster) service(namespace string, i int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("backend-%d", i)},
		Spec:       corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// retryPolicy makes a policy of a namespace. Some are for hosts, some are not ready, and some have open breakers.
func (c *Cluster) retryPolicy(namespace string, i, j int) *v1alpha1.RetryPolicy {
	n := i*c.size.PoliciesEach + j
	m := &madePolicy{
		namespace: namespace, key: fmt.Sprintf("%s/backend-%d", namespace, j), label: fmt.Sprintf("%s/backend-%d:80", namespace, j), service: true,
		rate: 0.2 + 200*c.rnd.Float64()*c.rnd.Float64()*c.rnd.Float64(), success: 1 - 0.02*c.rnd.Float64()*c.rnd.Float64(),
		p50: time.Duration(1+c.rnd.IntN(80)) * time.Millisecond, limited: n%5 == 0, dryRun: n%47 == 6,
	}
	p := &v1alpha1.RetryPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("backend-%d", j), UID: types.UID(m.key), Generation: 3, Labels: map[string]string{"team": namespace},
			CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Duration(n+1) * time.Hour)),
		},
	}
	m.target = "service " + m.label
	to := fmt.Sprintf("{service: {name: backend-%d, port: 80}}", j)
	if j%4 == 3 {
		host := fmt.Sprintf("api-%d.partner.example", n)
		m.label, m.target, m.service = host+":443", "host "+host, false
		to = "{host: " + host + ", ports: [443]}"
	}
	if n%23 == 7 {
		m.open, m.success = true, 0.4
	}
	decode(specOf(to, m), &p.Spec)
	p.Status = c.statusOf(m, n)
	c.policies = append(c.policies, m)
	return p
}

// authority is the certificate of a manager's authority.
func authority() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("generated: " + err.Error())
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		panic("generated: " + err.Error())
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
