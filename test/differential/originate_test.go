package differential

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	rpc "google.golang.org/grpc/interop/grpc_testing"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// Where the agent speaks TLS for the pod (tls.mode: Originate) a call is the same as when the pod speaks TLS itself: direct runs do that.

// originated is a kind of a protocol: the server by its name, with TLS of the agent's in governed runs.
func originated(p v1alpha1.Protocol) kind {
	return kind{name: "originate-" + strings.ToLower(string(p)), direct: true, to: func(r *run) v1alpha1.Destination {
		return v1alpha1.Destination{Host: serverName, Ports: []int32{int32(r.port())}, Protocol: p,
			TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, CABundleRef: &v1alpha1.CABundleReference{Name: "authority"}}}
	}}
}

// authority is what policies refer to for the server's certificate.
func authority(compile.Reference) compile.Referent {
	return compile.Referent{Presence: compile.Present, Data: map[string][]byte{
		"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate().Certificate[0]}),
	}}
}

// dialOriginated connects as a pod does: in the clear if the agent speaks TLS.
func (r *run) dialOriginated(ctx context.Context, alpn ...string) (net.Conn, error) {
	c, err := r.world.pod.Dial(ctx, r.addr(), 0)
	if err != nil || r.governed {
		return c, err
	}
	s := tls.Client(c, &tls.Config{RootCAs: trusted(), ServerName: serverName, NextProtos: alpn})
	return s, s.HandshakeContext(ctx)
}

// serveWeb has server 0 speak HTTPS, and note what it sees.
func (r *run) serveWeb() {
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s := q.TLS
		r.seen.note("server", "%s asked for %q, %q: %s %s %s", tls.VersionName(s.Version), s.ServerName, s.NegotiatedProtocol, q.Proto, q.Method, q.URL)
		r.seen.note("server", "host %s, %s", q.Host, shownHeader(q.Header))
		body, err := io.ReadAll(q.Body)
		r.seen.note("server", "body %s, %v, trailers %s", show(body), err, shownHeader(q.Trailer))
		w.Header().Set("Date", "never")
		w.Header().Set("X-Server", "yes")
		status := 200
		_, _ = fmt.Sscanf(q.URL.Path, "/status/%d", &status)
		switch {
		case q.URL.Path == "/large":
			_, _ = io.WriteString(w, noise(1<<20))
		case q.URL.Path == "/trailers":
			w.Header().Set("Trailer", "X-End")
			_, _ = io.WriteString(w, "content")
			w.Header().Set("X-End", "1")
		case status == 204 || status == 304:
			w.WriteHeader(status)
		default:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "answer")
		}
	})
	srv := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}, ErrorLog: log.New(io.Discard, "", 0)}
	l := r.listen(0, serverPort)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.ServeTLS(l, "", "") })
	r.atEnd(1, func() { _ = srv.Close(); wg.Wait() })
}

func shownHeader(h http.Header) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(h)) {
		out = append(out, fmt.Sprintf("%s=%q", k, h[k]))
	}
	return strings.Join(out, " ")
}

// webClient calls the server as a pod does.
func (r *run) webClient(http2 bool) *http.Client {
	var p http.Protocols
	p.SetHTTP1(!http2)
	p.SetHTTP2(http2 && !r.governed)
	p.SetUnencryptedHTTP2(http2 && r.governed)
	alpn := map[bool]string{true: "h2", false: "http/1.1"}[http2]
	tr := &http.Transport{Protocols: &p, DisableCompression: true,
		DialContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dialOriginated(ctx) },
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dialOriginated(ctx, alpn) }}
	r.atEnd(0, tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * patience}
}

// calls makes one call after the other and notes what comes.
func (r *run) calls(c *http.Client, calls ...string) {
	scheme := map[bool]string{true: "http", false: "https"}[r.governed]
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		var body io.Reader
		if method == "POST" {
			body = strings.NewReader(noise(100_000))
		}
		if method == "PUT" {
			body = io.MultiReader(strings.NewReader("in "), strings.NewReader("chunks"))
		}
		q, err := http.NewRequestWithContext(r.ctx, method, scheme+"://"+r.authority()+path, body)
		check(r, err)
		if method == "PUT" {
			q.Trailer = http.Header{"X-Sum": {"1"}}
		}
		res, err := c.Do(q)
		if err != nil {
			r.seen.note("client", "%s: %s", call, errorClass(err))
			continue
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		r.seen.note("client", "%s: %s, length %d, %s, body %s, %v, trailers %s", call, res.Status, res.ContentLength, shownHeader(res.Header), show(b), err, shownHeader(res.Trailer))
	}
}

func originateScenarios() []scenario {
	all := []string{"GET /?q=1", "HEAD /", "POST /up", "PUT /up", "DELETE /", "GET /large", "GET /trailers", "GET /status/204", "GET /status/304", "GET /status/404", "GET /status/503"}
	return withSlack([]scenario{
		{name: "http1", kinds: []kind{originated(v1alpha1.ProtocolHTTP)}, play: func(r *run) {
			r.serveWeb()
			r.calls(r.webClient(false), all...)
		}},
		{name: "http2", kinds: []kind{originated(v1alpha1.ProtocolHTTP2)}, play: func(r *run) {
			r.serveWeb()
			r.calls(r.webClient(true), all...)
		}},
		{name: "grpc", kinds: []kind{originated(v1alpha1.ProtocolGRPC)}, play: func(r *run) {
			r.serveRPC(0, grpc.Creds(credentials.NewServerTLSFromCert(new(certificate()))))
			c, err := grpc.NewClient("passthrough:///"+r.authority(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.dialOriginated(ctx, "h2") }))
			check(r, err)
			r.atEnd(0, func() { _ = c.Close() })
			client := &rpcClient{rpc.NewTestServiceClient(c), r, c}
			client.unary(client.asking("x-mine", "1"), &rpc.SimpleRequest{Payload: rpcPayload(100_000), ResponseSize: 200_000})
			client.unary(client.asking("x-status", "14", "x-details", "1"), &rpc.SimpleRequest{})
			both, err := client.FullDuplexCall(client.ctx)
			check(r, err)
			check(r, both.Send(&rpc.StreamingOutputCallRequest{Payload: rpcPayload(10)}))
			_, err = both.Recv()
			r.seen.note("client", "a message, %v", err)
			check(r, both.CloseSend())
			client.hear(both)
		}},
	})
}
