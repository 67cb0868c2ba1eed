package spans

import (
	"bytes"
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

// schema is the version of the semantic conventions that attributes follow: those of HTTP, and the release candidate of those of RPC.
const schema = "https://opentelemetry.io/schemas/1.43.0"

// scope says who has made the spans. It is never changed.
var scope = &commonpb.InstrumentationScope{Name: "fairlead.dev/fairlead"}

// isRemote are the flags of a span that say whether its parent is in another process (OTLP, SpanFlags).
const (
	contextKnown = uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	parentRemote = contextKnown | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
)

// appendSpans appends the span of a call, and one of each attempt below it. They keep nothing of r.
func (e *Exporter) appendSpans(to []*tracepb.Span, r *record) []*tracepb.Span {
	common := r.attributes()
	to = append(to, e.callSpan(r, common))
	for i := range r.attempts {
		to = append(to, r.attemptSpan(i, common))
	}
	return to
}

// callSpan is the span of a call. It is an internal one: what has left the node are the attempts, and who pairs client spans with those of servers
// must not find two.
func (e *Exporter) callSpan(r *record, common []*commonpb.KeyValue) *tracepb.Span {
	o, t := &r.outcome, &r.trace
	s := &tracepb.Span{
		TraceId: bytes.Clone(t.ID[:]), SpanId: bytes.Clone(t.Span[:]), Name: r.name(), Kind: tracepb.Span_SPAN_KIND_INTERNAL, Flags: uint32(t.Flags) | contextKnown,
		StartTimeUnixNano: nanos(t.Began), EndTimeUnixNano: nanos(t.Began.Add(r.took)),
	}
	if t.Parent != (tracing.SpanID{}) {
		s.ParentSpanId, s.Flags = bytes.Clone(t.Parent[:]), uint32(t.Flags)|parentRemote
	}
	s.Attributes = append(slices.Clip(common), text("fairlead.policy", r.policy.String()), text("fairlead.target", r.target),
		text("fairlead.retry_decision", o.Decision.String()), number("fairlead.attempts", o.Attempts))
	s.Attributes = e.appendPod(s.Attributes, r.pod)
	if r.rule != "" {
		s.Attributes = append(s.Attributes, text("fairlead.rule", r.rule))
	}
	if o.Fallback != call.NoFallback {
		s.Attributes = append(s.Attributes, text("fairlead.fallback", o.Fallback.String()))
	}
	r.end(s, result{kind: o.Kind, status: o.Status, grpc: grpcOf(r.grpc, o.GRPCStatus), detail: r.detail})
	return s
}

// attemptSpan is the span of an attempt, from its dispatch to the head of the response, or the failure.
func (r *record) attemptSpan(i int, common []*commonpb.KeyValue) *tracepb.Span {
	a, t := &r.attempts[i], &r.attemptSpans[i]
	s := &tracepb.Span{
		TraceId: bytes.Clone(r.trace.ID[:]), SpanId: bytes.Clone(t.ID[:]), ParentSpanId: bytes.Clone(r.trace.Span[:]),
		Name: r.name(), Kind: tracepb.Span_SPAN_KIND_CLIENT,
		Flags: uint32(r.trace.Flags) | contextKnown, StartTimeUnixNano: nanos(t.Began), EndTimeUnixNano: nanos(t.Began.Add(a.Took)),
	}
	s.Attributes = append(slices.Clip(common), text("fairlead.attempt.start", a.Start.String()))
	if a.Peer.IsValid() {
		s.Attributes = append(s.Attributes, text("network.peer.address", a.Peer.Addr().Unmap().String()), number("network.peer.port", int(a.Peer.Port())))
	}
	if t.Number > 1 {
		if !r.grpc {
			s.Attributes = append(s.Attributes, number("http.request.resend_count", t.Number-1))
		}
		s.Attributes = append(s.Attributes, number("fairlead.attempt.number", t.Number), text("fairlead.attempt.reason", t.Reason))
	}
	known := a.GRPC
	status := int(a.GRPCStatus)
	if last := i == len(r.attempts)-1; r.grpc && !known && last && a.Kind == call.OK { // which came with the trailers
		known, status = true, r.outcome.GRPCStatus
	}
	r.end(s, result{kind: a.Kind, status: a.Status, grpc: grpcOf(known, status), detail: a.Detail})
	return s
}

// result is what a span ends with.
type result struct {
	kind   call.Kind
	status int    // of HTTP; 0: none
	grpc   string // the status of gRPC by its name; empty: none
	detail routes.Detail
}

func grpcOf(known bool, status int) string {
	if !known || status < 0 || status > 16 {
		return ""
	}
	return policy.GRPCStatus(status).String()
}

// end sets what a span says of its end. To a client every status from 400 on is an error, and every one of gRPC but OK.
func (r *record) end(s *tracepb.Span, how result) {
	failed := ""
	switch {
	case how.kind != call.OK:
		failed = how.kind.String()
	case how.grpc != "" && how.grpc != policy.GRPCStatus(0).String():
		failed = how.grpc
	case how.status >= 400:
		failed = strconv.Itoa(how.status)
	}
	switch {
	case r.grpc && how.grpc != "":
		s.Attributes = append(s.Attributes, text("rpc.response.status_code", how.grpc))
	case how.status > 0 && !r.grpc:
		s.Attributes = append(s.Attributes, number("http.response.status_code", how.status))
	}
	if how.detail != routes.NoDetail {
		s.Attributes = append(s.Attributes, text("fairlead.detail", string(how.detail)))
	}
	if failed != "" {
		s.Attributes = append(s.Attributes, text("error.type", failed))
		s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
}

// attributes are those of the request, which all spans of a call have.
func (r *record) attributes() []*commonpb.KeyValue {
	host, port := r.server()
	out := []*commonpb.KeyValue{text("server.address", host), number("server.port", port)}
	if r.grpc {
		return append(out, text("rpc.system.name", "grpc"), text("rpc.method", r.rpcMethod()))
	}
	method, known := r.knownMethod()
	out = append(out, text("http.request.method", method))
	if !known {
		out = append(out, text("http.request.method_original", valid(r.method)))
	}
	if len(r.path) > 0 && method != "CONNECT" {
		out = append(out, text("url.path", valid(r.path)))
	}
	return out
}

// name is the name of a call's spans: they have no path, of which there are too many.
func (r *record) name() string {
	if r.grpc {
		return r.rpcMethod()
	}
	if method, known := r.knownMethod(); known {
		return method
	}
	return "HTTP"
}

func (r *record) rpcMethod() string { return strings.TrimPrefix(valid(r.path), "/") }

// knownMethod returns the method, or what the conventions have for one that they do not know.
func (r *record) knownMethod() (name string, known bool) {
	switch m := string(r.method); m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m, true
	}
	return "_OTHER", false
}

// server is who the request is for: as it says, or else whom the pod has connected to.
func (r *record) server() (host string, port int) {
	port = int(r.original.Port())
	name := valid(r.host)
	if h, p, err := net.SplitHostPort(name); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err == nil {
			return h, int(n)
		}
		return h, port
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return cmp.Or(name, r.original.Addr().Unmap().String()), port
}

func (e *Exporter) appendPod(to []*commonpb.KeyValue, uid string) []*commonpb.KeyValue {
	to = append(to, text("k8s.pod.uid", uid))
	if e.pod == nil {
		return to
	}
	called, workload := e.pod(uid)
	if namespace, name, ok := strings.Cut(called, "/"); ok {
		to = append(to, text("k8s.namespace.name", namespace), text("k8s.pod.name", name))
	}
	if workload != "" {
		to = append(to, text("fairlead.workload", workload))
	}
	return to
}

// valid returns bytes of a request as text: protobuf refuses what is no UTF-8.
func valid(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(value)}}}
}

// epoch is what OTLP counts time from. It is never changed.
var epoch = time.Unix(0, 0)

// nanos is the time by the wall clock, which is what spans of several nodes are compared by.
func nanos(t time.Time) uint64 { return uint64(max(t.Sub(epoch), 0)) }
