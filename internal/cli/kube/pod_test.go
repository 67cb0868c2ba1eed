package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// apiServer stands for an API server and a kubelet: it forwards the port of one pod to a server, and knows no WebSockets.
type apiServer struct {
	t    *testing.T
	to   string // where port 9465 of the pod ends
	path string

	mu     sync.Mutex
	tokens []string // that requests came with
	paths  []string
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.tokens, s.paths = append(s.tokens, r.Header.Get("Authorization")), append(s.paths, r.URL.Path)
	s.mu.Unlock()
	if r.URL.Path != s.path {
		http.Error(w, `pods "nobody" not found`, http.StatusNotFound)
		return
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "no WebSockets here", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		s.t.Error(err)
		return
	}
	streams := make(chan httpstream.Stream)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		go func() { streams <- stream }()
		return nil
	})
	if conn == nil {
		return
	}
	pairs := map[string]httpstream.Stream{}
	for {
		select {
		case <-conn.CloseChan():
			return
		case stream := <-streams:
			request := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
			other := pairs[request]
			if other == nil {
				pairs[request] = stream
				continue
			}
			data, failures := stream, other
			if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				data, failures = other, stream
			}
			go s.forward(data, failures)
		}
	}
}

func (s *apiServer) forward(data, failures httpstream.Stream) {
	if port := data.Headers().Get(corev1.PortHeader); port != "9465" {
		fmt.Fprintf(failures, "nothing listens on port %s", port)
		failures.Close()
		return
	}
	failures.Close()
	conn, err := net.Dial("tcp", s.to)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, data)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, conn)
	data.Close()
}

func forwarding(t *testing.T) (*apiServer, *rest.Config) {
	t.Helper()
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s says %s", r.Host, r.URL.Path)
	}))
	t.Cleanup(pod.Close)
	api := &apiServer{t: t, to: pod.Listener.Addr().String(), path: "/prefix/api/v1/namespaces/fairlead-system/pods/fairlead-agent-x/portforward"}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, &rest.Config{Host: server.URL + "/prefix", BearerToken: "of-the-user"}
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestALoopbackPortOfAPodIsReached(t *testing.T) {
	api, config := forwarding(t)
	p, err := newPodPort(config, "fairlead-system", "fairlead-agent-x", 9465)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client := p.Client()
	var all sync.WaitGroup
	for i := range 5 { // connections share the one to the API server
		all.Go(func() {
			want := fmt.Sprintf("agent says /debug/v1/%d", i)
			if got, err := get(t, client, fmt.Sprintf("http://agent/debug/v1/%d", i)); err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		})
	}
	all.Wait()
	client.CloseIdleConnections()
	api.mu.Lock()
	defer api.mu.Unlock()
	if len(api.tokens) != 2 { // a WebSocket, which it does not know, and SPDY
		t.Errorf("%d requests to the API server: %v", len(api.tokens), api.paths)
	}
	for _, token := range api.tokens {
		if token != "Bearer of-the-user" {
			t.Errorf("a request came with %q, not with the user's own credential", token)
		}
	}
}

func TestWhyAPortOfAPodIsNotReached(t *testing.T) {
	_, config := forwarding(t)
	for name, tc := range map[string]struct {
		pod  string
		port uint16
		want string
	}{
		"no such pod":     {"nobody", 9465, "reach pod fairlead-system/nobody through the API server"},
		"nothing listens": {"fairlead-agent-x", 1, "nothing listens on port 1"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPodPort(config, "fairlead-system", tc.pod, tc.port)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if got, err := get(t, p.Client(), "http://agent/"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q, %v, want an error with %q", got, err, tc.want)
			}
		})
	}
}

// A request that is given up ends, whatever the API server does.
func TestARequestThatIsGivenUpEnds(t *testing.T) {
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	p, err := newPodPort(&rest.Config{Host: server.URL}, "ns", "pod", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if c, err := p.Dial(ctx); err == nil {
		c.Close()
		t.Error("connected to nothing")
	}
	if err := p.Close(); err != nil { // while the API server has not answered
		t.Error(err)
	}
}

// slowDialer dials for as long as it is let.
type slowDialer struct{ dialling, may chan struct{} }

func (d slowDialer) Dial(...string) (httpstream.Connection, string, error) {
	close(d.dialling)
	<-d.may
	return nil, "", errors.New("nobody is there")
}

// Close does not wait for a connection that is being made: what hangs there would hang whoever has given up.
func TestCloseDoesNotWaitForADial(t *testing.T) {
	d := slowDialer{make(chan struct{}), make(chan struct{})}
	p := &PodPort{namespace: "fairlead-system", pod: "agent-0", dial: d}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Dial(ctx)
		done <- err
	}()
	<-d.dialling
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Close(); err != nil { // it would wait for ever
		t.Error(err)
	}
	close(d.may)
}
