package telemetry

import "github.com/prometheus/client_golang/prometheus"

// metric describes one family. docs/reference/metrics.md lists the same; a test compares the two.
type metric struct {
	name, help string
	kind       prometheus.ValueType // prometheus.UntypedValue: a histogram
	scope      scope
	labels     []string // beside those of its scope
}

// scope is what a family is about, and so has labels for.
type scope uint8

const (
	ofNode   scope = iota
	ofTarget       // of a policy
	ofCaller       // of a target: of it as a whole, where callers are not counted apart
)

// labelsOf returns the labels of a family, where callers are counted apart or not.
func (f *metric) labelsOf(callers bool) []string {
	all := [...]string{"policy", "target", "caller_namespace", "caller_workload"}
	n := [...]int{ofNode: 0, ofTarget: 2, ofCaller: 2}[f.scope]
	if callers && f.scope == ofCaller {
		n = len(all)
	}
	return append(all[:n:n], f.labels...)
}

// The families, as indices of catalogue.
const (
	requests = iota
	requestDuration
	retryDecisions
	attempts
	tryDuration
	truncated
	fallbacks
	hedges
	faults
	grpcCalls
	tlsFailures
	handshakes
	opaque
	opaqueOpen
	opaqueBytes
	tunnelDuration
	connections
	waiting
	limitWaiting
	concurrencyRunning
	concurrencyLimit
	limitShare
	attemptTimeout
	breakersOpen
	breakersHalfOpen
	breakersOpened
	dryRunDecisions
	dryRunBreakersOpen
	dryRunBreakersOpened
	endpointsEjected
	ejections
	ejectionsPrevented
	captured
	capturedTotal
	loops
	cut
	passed
	malformed
	floods
	panics
	replayBytes
	replayCapped
	accessLog
	exportedLines
	tracedSpans
	podsCaptured
	podsUncaptured
	podsShedding
	shedConnections
	olderConnections
	overflowTargets
	familyCount
)

// histogram marks a family of classic histograms.
const histogram = prometheus.UntypedValue

// catalogue lists every family that a Meter collects; it is never changed.
var catalogue = [familyCount]metric{
	requests: {"fairlead_proxy_requests_total",
		"Calls that have ended, by how: kind ok is an upstream's response, its class in code, or a connection that is passed through, without a code; other kinds were answered by the agent.",
		prometheus.CounterValue, ofCaller, []string{"kind", "code"}},
	requestDuration: {"fairlead_proxy_request_duration_seconds",
		"Time from the head of a request to the head of its answer, over all attempts and waits, for calls whose client waited for it.", histogram, ofCaller, nil},
	retryDecisions: {"fairlead_proxy_retry_decisions_total",
		"Calls that have ended, by why they were retried or not.", prometheus.CounterValue, ofCaller, []string{"retry_decision"}},
	attempts: {"fairlead_proxy_tries_total",
		"Attempts that were dispatched to an upstream, or that a fault of the policy's own stood in for (fault_injected), by how they ended; attempt is first, retry, repair of a dead kept-alive connection, hedge, or fallback on another destination.", prometheus.CounterValue, ofCaller, []string{"kind", "code", "attempt"}},
	tryDuration: {"fairlead_proxy_try_duration_seconds",
		"Time from dispatching an attempt, connecting included, to its response head or failure.", histogram, ofCaller, nil},
	truncated: {"fairlead_proxy_truncated_responses_total",
		"Responses whose body could not be forwarded to its end.", prometheus.CounterValue, ofCaller, nil},
	fallbacks: {"fairlead_proxy_fallbacks_total",
		"Calls that were answered by their fallback, by what of it: response is the policy's own, and among the requests they count as what they had failed by; destination is another one.",
		prometheus.CounterValue, ofCaller, []string{"answer"}},
	hedges: {"fairlead_proxy_hedges_total",
		"Attempts that were started beside others, by what has become of them: won, if their response answered the call, or else wasted.",
		prometheus.CounterValue, ofCaller, []string{"result"}},
	faults: {"fairlead_proxy_faults_injected_total",
		"Faults that the policy injected into attempts for a test (faults), by kind: delay, response or reset. An attempt that was delayed and then answered or reset counts twice.",
		prometheus.CounterValue, ofCaller, []string{"kind"}},
	grpcCalls: {"fairlead_proxy_grpc_calls_total",
		"gRPC calls that have ended, by the status that their client was answered, the agent's own answers included; none where the answer broke off before one.",
		prometheus.CounterValue, ofCaller, []string{"status"}},
	tlsFailures: {"fairlead_proxy_tls_failures_total",
		"Attempts that failed in TLS with their upstream, by why.", prometheus.CounterValue, ofCaller, []string{"reason"}},
	handshakes: {"fairlead_proxy_pod_handshakes_total",
		"Connections of pods whose TLS is to be intercepted, by what has become of that: ok once a request has come; those that are declined or passed are passed through.",
		prometheus.CounterValue, ofCaller, []string{"result"}},
	opaque: {"fairlead_proxy_opaque_connections_total",
		"Connections governed by a policy that were passed through without being understood.", prometheus.CounterValue, ofCaller, nil},
	opaqueOpen: {"fairlead_proxy_opaque_open_connections",
		"Those of them that are open.", prometheus.GaugeValue, ofCaller, nil},
	opaqueBytes: {"fairlead_proxy_opaque_bytes_total",
		"Bytes that they carried, by direction: sent to their servers or received from them. What is carried by one that goes on is added within a minute.",
		prometheus.CounterValue, ofCaller, []string{"direction"}},
	tunnelDuration: {"fairlead_proxy_tunnel_duration_seconds",
		"How long connections that were passed through, and tunnels that calls had become (WebSocket, CONNECT), were open, for those that have ended.",
		histogram, ofCaller, nil},
	connections: {"fairlead_upstream_connections",
		"Open connections to upstreams of all pods, by state: active or idle.", prometheus.GaugeValue, ofTarget, []string{"state"}},
	waiting: {"fairlead_upstream_waiting",
		"Calls that wait for a connection.", prometheus.GaugeValue, ofTarget, nil},
	limitWaiting: {"fairlead_limit_waiting",
		"Calls that wait for a rate limit, or for a place below a limit of concurrency.", prometheus.GaugeValue, ofTarget, nil},
	concurrencyRunning: {"fairlead_concurrency_running",
		"Calls that have a place below a limit of concurrency.", prometheus.GaugeValue, ofTarget, nil},
	concurrencyLimit: {"fairlead_concurrency_limit",
		"Places below limits of concurrency: what they are now, added up over pods, rules and concrete destinations.", prometheus.GaugeValue, ofTarget, nil},
	limitShare: {"fairlead_limit_share",
		"Calls per second that may start on this node by its shares of rate limits with scope Cluster, added up over rules and concrete destinations.",
		prometheus.GaugeValue, ofTarget, nil},
	attemptTimeout: {"fairlead_attempt_timeout_seconds",
		"How long an attempt may take at present by timeouts.adaptive; the longest, where a target has several destinations.", prometheus.GaugeValue, ofTarget, nil},
	breakersOpen: {"fairlead_breaker_open",
		"Circuit breakers that are open or half-open.", prometheus.GaugeValue, ofTarget, nil},
	breakersHalfOpen: {"fairlead_breaker_half_open",
		"Those of them that are half-open: their time is over, and the next calls are probes.", prometheus.GaugeValue, ofTarget, nil},
	breakersOpened: {"fairlead_breaker_opened_total",
		"Times that a circuit breaker has opened.", prometheus.CounterValue, ofTarget, nil},
	dryRunDecisions: {"fairlead_dry_run_decisions_total",
		"Calls that a policy with mode DryRun looked at, by what it would have done first that was not done; same: nothing else. Whether a retry would have helped cannot be known.",
		prometheus.CounterValue, ofTarget, []string{"would"}},
	dryRunBreakersOpen: {"fairlead_dry_run_breaker_open",
		"Circuit breakers of policies with mode DryRun that would be open or half-open.", prometheus.GaugeValue, ofTarget, nil},
	dryRunBreakersOpened: {"fairlead_dry_run_breaker_opened_total",
		"Times that a circuit breaker of a policy with mode DryRun would have opened.", prometheus.CounterValue, ofTarget, nil},
	endpointsEjected: {"fairlead_endpoints_ejected",
		"Endpoints that are kept out by breakers of their own (circuitBreaker.scope: Endpoint).", prometheus.GaugeValue, ofTarget, nil},
	ejections: {"fairlead_endpoint_ejections_total",
		"Times that an endpoint was put out, by why: the trigger that fired, or failed_probe for one that was out and stays so for longer.",
		prometheus.CounterValue, ofTarget, []string{"reason"}},
	ejectionsPrevented: {"fairlead_endpoint_ejections_prevented_total",
		"Results that would have put an endpoint out, had as many been out as may be at most (circuitBreaker.maxEjectedPercent).",
		prometheus.CounterValue, ofTarget, nil},
	captured: {"fairlead_proxy_connections",
		"Captured connections that are open.", prometheus.GaugeValue, ofNode, nil},
	capturedTotal: {"fairlead_proxy_connections_total",
		"Connections that were captured.", prometheus.CounterValue, ofNode, nil},
	loops: {"fairlead_capture_loops_total",
		"Connections that were refused because they led back to the agent.", prometheus.CounterValue, ofNode, nil},
	cut: {"fairlead_capture_cut_connections_total",
		"Connections that were cut because they lasted longer than the drain of an agent that stops.", prometheus.CounterValue, ofNode, nil},
	passed: {"fairlead_proxy_passed_connections_total",
		"Captured connections that were passed through untouched, by why.", prometheus.CounterValue, ofNode, []string{"reason"}},
	malformed: {"fairlead_proxy_malformed_requests_total",
		"Requests that were refused because they broke the protocol, by the status of the answer.", prometheus.CounterValue, ofNode, []string{"code"}},
	floods: {"fairlead_proxy_floods_total",
		"Connections, and streams of HTTP/2, that were ended because their client or server did too much of something, by what. HTTP/2: a kind of frame, fields, time for a header block, flow_control, more than windows allow, or stalled, bytes that it did not take when the pod had no more memory for them. HTTP/1: head_memory, a large head when the pod had no more memory for one.",
		prometheus.CounterValue, ofNode, []string{"peer", "kind"}},
	panics: {"fairlead_proxy_panics_total",
		"Connections that were closed because serving them failed by a mistake of the agent.", prometheus.CounterValue, ofNode, nil},
	replayBytes: {"fairlead_replay_bytes",
		"Memory that holds request bodies for retries.", prometheus.GaugeValue, ofNode, nil},
	replayCapped: {"fairlead_replay_capped_total",
		"Times that a request body was not kept for retries because the agent's memory for that, or the part of it that one pod may take, was used up.", prometheus.CounterValue, ofNode, nil},
	accessLog: {"fairlead_accesslog_lines_total",
		"Access log lines, by result: written, or dropped because there were too many.", prometheus.CounterValue, ofNode, []string{"result"}},
	exportedLines: {"fairlead_accesslog_exported_lines_total",
		"Access log lines that were to go to an OpenTelemetry collector, by result: exported, dropped because too many waited, or failed, where the collector could not be reached in time or refused them. Only where the agent exports them.",
		prometheus.CounterValue, ofNode, []string{"result"}},
	tracedSpans: {"fairlead_tracing_spans_total",
		"Spans of traced calls, by result: exported, dropped because too many waited, or failed, where the collector could not be reached in time or refused them.",
		prometheus.CounterValue, ofNode, []string{"result"}},
	podsCaptured: {"fairlead_capture_pods",
		"Pods whose outbound connections are captured.", prometheus.GaugeValue, ofNode, nil},
	podsUncaptured: {"fairlead_capture_failed_pods",
		"Pods that should be captured and are not.", prometheus.GaugeValue, ofNode, nil},
	podsShedding: {"fairlead_capture_shedding_pods",
		"Pods whose new connections go direct, or are refused where they fail closed, because the agent is short of connections, descriptors or memory.",
		prometheus.GaugeValue, ofNode, nil},
	shedConnections: {"fairlead_capture_shed_connections_total",
		"Connections of pods with more than their share that were refused, because they could not go direct, or cut, for want of memory.",
		prometheus.CounterValue, ofNode, []string{"how"}},
	olderConnections: {"fairlead_capture_older_connections",
		"Open connections that the policy would govern if they were not older than it.", prometheus.GaugeValue, ofNode, []string{"policy"}},
	overflowTargets: {"fairlead_metrics_overflow_targets",
		"Destinations of policies that are shown together, with overflow for policy and target, because the agent would have too many series.",
		prometheus.GaugeValue, ofNode, nil},
}
