// Package asktest stands for a cluster whose manager and agents answer the live API, in tests of commands that ask them.
package asktest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// Cluster is one whose pods of fairlead answer.
type Cluster struct {
	t testing.TB
	// Env is that of a command; what it prints is in Out and Err.
	Env      *kube.Env
	Out, Err *bytes.Buffer
	pods     []client.Object
	servers  map[string]*httptest.Server

	mu sync.Mutex
	// Asked are the requests, in order. It is to be read when a command has ended.
	Asked []string
}

// New returns a cluster with other objects, and without pods of fairlead.
func New(t testing.TB, objects ...client.Object) *Cluster {
	t.Helper()
	streams, _, out, errs := genericiooptions.NewTestIOStreams()
	c := &Cluster{t: t, Env: kube.NewEnv(streams), Out: out, Err: errs, pods: objects, servers: map[string]*httptest.Server{}}
	namespace := "shop"
	c.Env.Flags.Namespace = &namespace
	c.Env.Connect = func() (client.WithWatch, error) {
		scheme, err := kube.Scheme()
		if err != nil {
			return nil, err
		}
		return fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.pods...).Build(), nil
	}
	return c
}

// Add adds a running pod of fairlead-manager or fairlead-agent, on a node, that answers so.
func (c *Cluster) Add(component, name, node string, h http.Handler) {
	c.t.Helper()
	c.pods = append(c.pods, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: name, Labels: map[string]string{"app.kubernetes.io/name": component}},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	})
	c.Serve(name, h)
}

// Serve has a pod answer so, which the cluster has from elsewhere.
func (c *Cluster) Serve(name string, h http.Handler) {
	c.t.Helper()
	srv := httptest.NewServer(h)
	c.t.Cleanup(srv.Close)
	c.servers[name] = srv
}

// Reach reaches its pods; it is an ask.Reach.
func (c *Cluster) Reach(pod *corev1.Pod, port uint16) (*http.Client, func(), error) {
	srv := c.servers[pod.Name]
	if srv == nil {
		return nil, nil, fmt.Errorf("pods %q is forbidden", pod.Name)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}}
	return &http.Client{Transport: asked{c, pod.Name, port, tr}}, tr.CloseIdleConnections, nil
}

var _ ask.Reach = (*Cluster)(nil).Reach

// asked notes requests.
type asked struct {
	c    *Cluster
	pod  string
	port uint16
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.c.mu.Lock()
	a.c.Asked = append(a.c.Asked, fmt.Sprintf("%s:%d %s", a.pod, a.port, r.URL.RequestURI()))
	a.c.mu.Unlock()
	return a.RoundTripper.RoundTrip(r)
}
