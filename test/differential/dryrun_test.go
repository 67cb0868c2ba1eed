package differential

import (
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// A dry run asks for much and does nothing: calls are what they are without it.

// asksMuch is a policy under which hardly a call would stay as it is.
const asksMuch = `
timeouts: {perTry: 20ms, responseHeader: 20ms, overall: 50ms, maxDuration: 200ms, idle: 100ms}
retry:
  maxRetries: 3
  when: [ConnectFailure, RefusedStream, ResetBeforeRequest, Reset, PerTryTimeout, GatewayError, ServerError, RateLimited, Conflict, RetryAfter]
  statusCodes: ["2xx", "4xx"]
  grpcStatuses: [UNAVAILABLE, DEADLINE_EXCEEDED, UNKNOWN]
  idempotency: {mode: Any, generateKey: true}
  budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}
  hedging: {delay: 5ms, maxHedges: 2}
circuitBreaker: {consecutiveFailures: 1, slowCalls: {threshold: 1ms, percent: 1, minimumRequests: 1, window: 10s}, open: {duration: 1m}}
rateLimit: {requests: 1, per: 1h, burst: 2}
concurrency: {max: 1, maxQueued: 1, maxWait: 10ms}
connectionPool: {maxConnections: 1, maxPending: 0, maxRequestsPerConnection: 1, idleTimeout: 10ms}
fallback: {response: {statusCode: 200, body: made up}}
observability: {requestHeaders: {attempt: true}}
`

// rehearsed is a policy of this body in mode DryRun.
func rehearsed(r *run) (b v1alpha1.PolicyBody) {
	r.Helper()
	check(r, yaml.UnmarshalStrict([]byte(asksMuch), &b))
	return b
}

// dryRun is a kind whose policy is a dry run that asks for much.
func dryRun(k kind) kind {
	k.name, k.dryRun = "dry-run-"+k.name, true
	return k
}

func dryRunScenarios() []scenario {
	byService, byName, http2, grpc, tcp := dryRun(service), dryRun(host), dryRun(serviceHTTP2), dryRun(serviceGRPC), dryRun(serviceTCP)
	return slices.Concat(
		played("methods", byService, methodScenarios(), "get", "head", "post", "many-fields-of-one-name", "options-star"),
		played("answers", byService, answerScenarios(), "304", "chunked-with-extensions-and-trailers", "until-close", "close-is-kept", "interim-103"),
		played("slow", byService, slowScenarios(), "slow-head", "slow-post", "body-in-pieces", "request-after-silence"),
		played("kept", byName, keptScenarios(), "ten-in-a-row", "pipelined", "mixed-methods", "server-resets-instead-of-the-second-answer",
			"server-ends-instead-of-the-first-answer-to-a-post", "server-resets-instead-of-the-first-answer"),
		played("uploads", byService, uploadScenarios(), "of-a-megabyte", "in-chunks-with-trailers", "slowly", "200-at-once-to-an-upload-in-chunks", "client-resets-in-the-middle", "expect-and-continue"),
		played("streams", byName, streamScenarios(), "events-each-as-it-comes", "long-poll", "server-ends-between-chunks", "server-resets-in-the-middle"),
		played("tunnels", byService, tunnelScenarios(), "websocket", "idle-websocket", "websocket-that-the-server-resets"),
		played("raw", tcp, rawScenarios(), "question-and-answer", "server-resets-after-a-part", "slow-server", "long-upload-short-answer"),
		played("http2", http2, http2Scenarios(), "one-stream-at-a-time"),
		played("http2-ends", http2, http2EndScenarios(), "server-resets-in-the-middle", "client-resets-an-upload", "server-goes-away", "server-breaks-under-an-answer"),
		played("grpc", grpc, grpcScenarios(), "unary", "deadline", "ping-pong"),
		[]scenario{
			{name: "server-that-fails-each-call", kinds: []kind{byService, byName}, wouldDiffer: true, play: func(r *run) {
				r.web(0, func(q *request) {
					q.body()
					q.p.say("HTTP/1.1 503 Down\r\nRetry-After: 1\r\n" + length(4) + "\r\n\r\ndown")
				})
				r.client(func(p *peer) {
					for range 5 {
						p.ask("GET", "/")
						p.say(p.r.to("POST", "/", length(3)) + "pay")
						p.response()
					}
				})
			}},
			{name: "many-at-once", kinds: []kind{byService, byName}, wouldDiffer: true, play: func(r *run) {
				r.quietWeb(0, func(q *request) { time.Sleep(300 * time.Millisecond); q.p.sayQuietly(ok("slow")) })
				r.together(20, func(i int) string { return r.quietCall(i) })
			}},
			{name: "nobody-listens", kinds: []kind{byName}, play: func(r *run) {
				r.client(func(p *peer) { p.ask("GET", "/") })
			}, differs: []difference{refusedCall("client")}},
		},
	)
}
