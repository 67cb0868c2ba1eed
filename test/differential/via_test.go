package differential

import (
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Where the agent calls a host through an HTTP proxy (via) a call is the same as when the client itself goes through the proxy.

func viaScenarios() []scenario {
	h1, h2, grpc, tls := via(v1alpha1.ProtocolHTTP), via(v1alpha1.ProtocolHTTP2), via(v1alpha1.ProtocolGRPC), via(v1alpha1.ProtocolTLS)
	return slices.Concat(
		played("methods", h1, methodScenarios(), "get", "head", "post", "many-fields-of-one-name"),
		played("answers", h1, answerScenarios(), "304", "chunked-with-extensions-and-trailers", "until-close", "close-is-kept", "interim-103"),
		played("kept", h1, keptScenarios(), "ten-in-a-row", "pipelined", "mixed-methods", "server-ends-an-idle-connection", "server-resets-instead-of-the-second-answer",
			"server-ends-instead-of-the-first-answer-to-a-post", "server-resets-instead-of-the-first-answer"),
		played("uploads", h1, uploadScenarios(), "of-a-megabyte", "in-chunks-with-trailers", "200-at-once-to-an-upload-in-chunks", "client-resets-in-the-middle", "expect-and-continue"),
		played("streams", h1, streamScenarios(), "server-ends-between-chunks", "server-resets-in-the-middle"),
		played("tunnels", h1, tunnelScenarios(), "websocket", "websocket-half-closed-by-the-client", "websocket-that-the-server-resets"),
		played("http2-ends", h2, http2EndScenarios(), "server-resets-in-the-middle", "client-resets-an-upload", "server-goes-away", "server-breaks-under-an-answer"),
		played("grpc", grpc, grpcScenarios(), "unary", "deadline", "ping-pong"),
		played("tls", tls, tlsScenarios(), "tls-1.3", "tls-1.2", "hello-in-records-and-packets", "server-closes", "server-resets"),
		[]scenario{
			{name: "nobody-listens", kinds: []kind{h1}, play: func(r *run) {
				r.client(func(p *peer) { p.ask("GET", "/") })
			}, differs: []difference{refusedCall("client")}},
		},
	)
}
