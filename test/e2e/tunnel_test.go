package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// callTime is how long a call may take under tunnelsPolicy.
const callTime = 2 * time.Second

const tunnelsPolicy = `
podSelector: {matchLabels: {app: programs}}
to:
- {service: {name: scripted, port: 81}, protocol: HTTP2}
- {host: refusing-tls.NS.svc, ports: [81], protocol: HTTP2, tls: {mode: Originate, port: 443, caBundleRef: {name: programs-ca}}}
timeouts: {perTry: 2s, overall: 2s, idle: 2s}
retry: {maxRetries: 2, when: [RefusedStream], backoff: {strategy: Fixed, initialInterval: 5ms}}
`

var _ = Describe("a websocket over HTTP/2", Ordered, func() {
	var p *programs

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		p.reachable(ctx, "refusing-tls:443")
		p.policy(ctx, "tunnels", tunnelsPolicy)
		p.known(ctx, "scripted", 1)
	}, NodeTimeout(4*time.Minute))

	// Both ways at once, since they take their time.
	It("lives as long as its ends speak, and ends when nobody has said anything for as long as written", func(ctx context.Context) {
		ended := p.counted(ctx, "fairlead_proxy_tunnel_duration_seconds_count", "tunnels")
		var all []*http2Tunnel
		for _, server := range []string{"scripted", "refusing-tls"} {
			all = append(all, p.tunnel(ctx, server))
		}
		said := ""
		for n, began := 0, time.Now(); time.Since(began) < callTime+callTime/2; n++ {
			message := fmt.Sprintf("message %d\n", n)
			said += message
			for _, t := range all {
				Expect(t.frames.WriteData(tunnelStream, false, []byte(message))).To(Succeed(), t.server)
			}
			for _, t := range all {
				Eventually(func() string { return t.heard().data[tunnelStream] }).WithContext(ctx).Should(Equal(said), t.server)
				Expect(t.heard().answers[tunnelStream]).To(Equal("200"), t.server)
			}
		}
		for _, t := range all {
			saw := p.saw(ctx, t.key)
			Expect(saw).To(And(HaveField("Requests", 2), HaveField("Failed", 1), HaveField("Concurrent", 1)), t.server+": refused once, and open")
			Expect(saw.Bodies).To(HaveLen(bytes.Count([]byte(said), []byte("\n"))), t.server)
		}
		for _, t := range all {
			Eventually(func() string { return t.heard().answers[tunnelStream] }).WithContext(ctx).Should(Equal("CANCEL"), t.server)
			Eventually(func() int { return p.saw(ctx, t.key).Concurrent }).WithContext(ctx).Should(BeZero(), "the server learns of it: "+t.server)
			t.request(tunnelStream+2, "GET", "/refuse-0-after")
			Eventually(func() string { return t.heard().answers[tunnelStream+2] }).WithContext(ctx).Should(Equal("200"), "other streams of the connection: "+t.server)
		}
		Eventually(func() int {
			return p.counted(ctx, "fairlead_proxy_tunnel_duration_seconds_count", "tunnels") - ended
		}).WithContext(ctx).Should(Equal(len(all)))
	}, NodeTimeout(time.Minute))
})

// tunnelStream is the stream on which a tunnel is.
const tunnelStream = 3

// http2Tunnel is a client's connection with a tunnel, frame by frame.
type http2Tunnel struct {
	*conversation
	server, key, authority string
	frames                 *http2.Framer
	encoder                *hpack.Encoder
	block                  bytes.Buffer
}

// tunnel opens one to a server that refuses it once. A client is offered extended CONNECT once the agent knows that the server offers it.
func (p *programs) tunnel(ctx context.Context, server string) *http2Tunnel {
	GinkgoHelper()
	t := &http2Tunnel{server: server, key: "tunnel-" + server, authority: p.name(server) + ":81"}
	t.conversation = p.k.converse(ctx, p.client, testserver, "raw", "-addr", t.authority, "-timeout", "50s")
	t.frames, t.encoder = http2.NewFramer(t.in, nil), hpack.NewEncoder(&t.block)
	_, err := io.WriteString(t.in, http2.ClientPreface)
	Expect(err).NotTo(HaveOccurred())
	Expect(t.frames.WriteSettings()).To(Succeed())
	t.request(1, "GET", "/refuse-0-before")
	Eventually(func() string { return t.heard().answers[1] }).WithContext(ctx).Should(Equal("200"), server)
	Eventually(func() bool { return t.heard().tunnels }).WithContext(ctx).Should(BeTrue(), "offered by "+server)
	t.request(tunnelStream, "CONNECT", "/refuse-1-"+t.key, hpack.HeaderField{Name: ":protocol", Value: "websocket"},
		hpack.HeaderField{Name: "sec-websocket-version", Value: "13"})
	Eventually(func() string { return t.heard().answers[tunnelStream] }).WithContext(ctx).Should(Equal("200"), server)
	return t
}

func (t *http2Tunnel) heard() heard { return http2Heard(t.out.Contents()) }

// request begins a request, which is over at once if it is no tunnel.
func (t *http2Tunnel) request(stream uint32, method, path string, more ...hpack.HeaderField) {
	GinkgoHelper()
	t.block.Reset()
	for _, f := range append([]hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: t.authority},
		{Name: ":path", Value: path}}, more...) {
		Expect(t.encoder.WriteField(f)).To(Succeed())
	}
	Expect(t.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: t.block.Bytes(), EndHeaders: true, EndStream: method == "GET"})).To(Succeed())
}
