package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forward makes a port of a pod reachable from the test, as one that listens on the pod's loopback address sees it, until stop is called.
func (k *kube) forward(ctx context.Context, pod *corev1.Pod, port int) (address string, stop func(), err error) {
	url := k.set.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(k.config)
	if err != nil {
		return "", nil, err
	}
	stopping, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url)
	f, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", port)}, stopping, ready, io.Discard, GinkgoWriter)
	if err != nil {
		return "", nil, err
	}
	go func() { done <- f.ForwardPorts() }()
	stop = func() {
		close(stopping)
		<-done
	}
	select {
	case err = <-done:
		return "", nil, fmt.Errorf("forward to %s: %w", pod.Name, err)
	case <-ctx.Done():
		stop()
		return "", nil, ctx.Err()
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		stop()
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), stop, nil
}
