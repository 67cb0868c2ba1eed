package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Requests that nobody should send. The upstream takes each of them where no policy governs the pod, which shows that it is the agent who refuses it.
var _ = Describe("a request that breaks the rules", Ordered, ContinueOnFailure, func() {
	const fine = "GET /behind?key=%s HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n"
	var malformed = map[string]string{ // of rule 27
		"length-and-coding": "POST /%s HTTP/1.1\r\nHost: upstream\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"folded":            "GET /%s HTTP/1.1\r\nHost: upstream\r\nA: b\r\n c\r\n\r\n",
		"bare-lf":           "GET /%s HTTP/1.1\nHost: upstream\n\n",
	}
	var large = map[int]string{ // of rule 30, by the status
		431: "GET /%s HTTP/1.1\r\nHost: upstream\r\nA: " + strings.Repeat("a", 300<<10) + "\r\n\r\n",
		414: "GET /%s?" + strings.Repeat("a", 80<<10) + " HTTP/1.1\r\nHost: upstream\r\n\r\n",
	}
	exchange := func(ctx context.Context, request, key string) string {
		return env.raw(ctx, env.caller(), env.name("upstream")+":80", strings.NewReader(fmt.Sprintf(request, key)+fmt.Sprintf(fine, key+"-behind")))
	}
	// refused expects an answer of the agent's own, once, and nothing at the upstream.
	refused := func(ctx context.Context, status int, request, key string) {
		GinkgoHelper()
		got := exchange(ctx, request, key)
		Expect(got).To(HavePrefix(fmt.Sprintf("HTTP/1.1 %d ", status)), key)
		Expect(got).To(ContainSubstring("\r\nfairlead-reason: malformed_request\r\n"), key)
		Expect(strings.Count(got, "HTTP/1.1 ")).To(Equal(1), "nothing behind it is answered")
		Expect(env.seen(ctx, "/"+key).Requests).To(BeZero(), key)
		Expect(env.seen(ctx, key+"-behind").Requests).To(BeZero(), "nothing behind it is forwarded")
	}

	BeforeAll(func(ctx context.Context) {
		for name, request := range malformed {
			Expect(exchange(ctx, request, "direct-"+name)).To(HavePrefix("HTTP/1.1 200 "), name)
			Expect(env.seen(ctx, "/direct-"+name).Requests).To(Equal(1), name)
		}
		for status, request := range large {
			Expect(exchange(ctx, request, fmt.Sprint("direct-", status))).To(HavePrefix("HTTP/1.1 200 "))
		}
		env.policy(ctx, "strict", naming("upstream"))
	}, NodeTimeout(time.Minute))

	It("is refused and not forwarded: rule 27", func(ctx context.Context) {
		for name, request := range malformed {
			refused(ctx, 400, request, name)
		}
	}, NodeTimeout(time.Minute))

	It("is refused where its head is too large: rule 30", func(ctx context.Context) {
		for status, request := range large {
			refused(ctx, status, request, fmt.Sprint("large-", status))
		}
	}, NodeTimeout(time.Minute))

	It("is reset where it is HTTP/2 with fields of HTTP/1.1's connections: rule 31", func(ctx context.Context) {
		p := newPrograms(ctx)
		p.policy(ctx, "strict-http2", "podSelector: {matchLabels: {app: programs}}\nto: [{service: {name: nginx}}]\n")
		p.known(ctx, "nginx", 1)
		for name, field := range map[string]hpack.HeaderField{"te": {Name: "te", Value: "gzip"}, "connection": {Name: "connection", Value: "close"}} {
			c := p.k.converse(ctx, p.client, testserver, "raw", "-addr", p.name("nginx")+":81", "-timeout", "50s")
			_, err := c.in.Write(http2Requests("http", "nginx", "/bad?key=bad-"+name, "/good?key=good-"+name, field))
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() map[uint32]string { return http2Heard(c.out.Contents()).answers }).WithContext(ctx).
				Should(Equal(map[uint32]string{1: "PROTOCOL_ERROR", 3: "200"}), name)
			c.end()
			Expect(p.saw(ctx, "bad-"+name).Requests).To(BeZero(), name)
			Expect(p.saw(ctx, "good-"+name).Requests).To(Equal(1), "the next request of the connection: "+name)
		}
	}, NodeTimeout(2*time.Minute))
})

// http2Requests are a connection's first bytes: a request on stream 1 with some fields more, and one on stream 3.
func http2Requests(scheme, authority, bad, good string, more ...hpack.HeaderField) []byte {
	GinkgoHelper()
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	frames, encoder := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	Expect(frames.WriteSettings()).To(Succeed())
	for i, path := range []string{bad, good} {
		block.Reset()
		fields := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: scheme}, {Name: ":authority", Value: authority}, {Name: ":path", Value: path}}
		if path == bad {
			fields = append(fields, more...)
		}
		for _, f := range fields {
			Expect(encoder.WriteField(f)).To(Succeed())
		}
		Expect(frames.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})).To(Succeed())
	}
	return out.Bytes()
}

// heard is what has come on a connection of HTTP/2: the status of each stream, or with what it was reset, and its data.
type heard struct {
	answers, data map[uint32]string
	tunnels       bool // extended CONNECT is offered
}

func http2Heard(b []byte) heard {
	out := heard{answers: map[uint32]string{}, data: map[uint32]string{}}
	frames := http2.NewFramer(io.Discard, bytes.NewReader(b))
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := frames.ReadFrame()
		if err != nil {
			return out // the rest has not come yet
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			out.answers[f.StreamID] = f.ErrCode.String()
		case *http2.MetaHeadersFrame:
			out.answers[f.StreamID] = f.PseudoValue("status")
		case *http2.DataFrame:
			out.data[f.StreamID] += string(f.Data())
		case *http2.SettingsFrame:
			if v, ok := f.Value(http2.SettingEnableConnectProtocol); ok {
				out.tunnels = v == 1
			}
		}
	}
}
