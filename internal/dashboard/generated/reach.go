package generated

import (
	"context"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
)

// reach reaches its pods, in memory.
func (c *Cluster) reach(pod *corev1.Pod, _ uint16) (*http.Client, func(), error) {
	var h http.Handler
	switch agent := c.agents[pod.Name]; {
	case agent != nil && pod.Spec.NodeName == NodeName(1):
		return nil, nil, fmt.Errorf("reach pod %s/%s: it is not ready", pod.Namespace, pod.Name)
	case agent != nil:
		h = c.agent(pod.Spec.NodeName)
	default:
		h = c.manager()
	}
	return &http.Client{Transport: inMemory{h}}, func() {}, nil
}

var _ ask.Reach = (*Cluster)(nil).reach

func contextWith(ctx context.Context, all []*madePolicy) context.Context {
	return context.WithValue(ctx, policiesKey{}, all)
}

func policiesOf(ctx context.Context) []*madePolicy {
	all, _ := ctx.Value(policiesKey{}).([]*madePolicy)
	return all
}

// inMemory is a transport to a handler.
type inMemory struct{ h http.Handler }

// RoundTrip implements http.RoundTripper. The answer is read while it is written.
func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	body, to := io.Pipe()
	w := &writer{to: to, header: http.Header{}, begun: make(chan int, 1)}
	asked := r.Clone(ctx)
	asked.RemoteAddr, asked.Host, asked.RequestURI = "127.0.0.1:1", "localhost", r.URL.RequestURI()
	go func() {
		t.h.ServeHTTP(w, asked)
		w.WriteHeader(http.StatusOK) // if nothing was written
		_ = to.Close()               // it returns no error
	}()
	select {
	case status := <-w.begun:
		return &http.Response{StatusCode: status, Header: w.header, Body: &closing{body, cancel}, Request: r}, nil
	case <-ctx.Done():
		cancel()
		_ = body.Close() // so that the handler's writes end
		return nil, ctx.Err()
	}
}

// closing ends the handler when the answer is closed.
type closing struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c *closing) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

type writer struct {
	to     *io.PipeWriter
	header http.Header
	begun  chan int
	wrote  bool
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.begun <- status
	}
}

// Write implements io.Writer.
func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.to.Write(b)
}

// Flush implements http.Flusher.
func (w *writer) Flush() { w.WriteHeader(http.StatusOK) }
