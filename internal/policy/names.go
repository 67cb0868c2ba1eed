package policy

import "strconv"

// The names below are the API's words, for people who read what an agent works from.

var (
	conditionNames = []string{
		ConnectFailure: "ConnectFailure", RefusedStream: "RefusedStream", ResetBeforeRequest: "ResetBeforeRequest", Reset: "Reset",
		PerTryTimeout: "PerTryTimeout", DNSFailure: "DNSFailure", GatewayError: "GatewayError", ServerError: "ServerError",
		RateLimited: "RateLimited", Conflict: "Conflict", RetryAfterPresent: "RetryAfter",
	}
	// grpcNames are the status codes of gRPC, by number.
	grpcNames = []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
	idempotencyNames = []string{
		SafeMethods: "SafeMethods", IdempotentMethods: "IdempotentMethods", IdempotentOrKeyed: "IdempotentOrKeyed", AnyMethod: "Any",
	}
	strategyNames = []string{Exponential: "Exponential", Linear: "Linear", Fixed: "Fixed"}
	jitterNames   = []string{
		JitterFull: "Full", JitterNone: "None", JitterEqual: "Equal", JitterAdditive: "Additive", JitterProportional: "Proportional",
		JitterDecorrelated: "Decorrelated",
	}
	breakerScopeNames  = []string{ScopeDestination: "Destination", ScopeEndpoint: "Endpoint"}
	sharingNames       = []string{ShareNode: "Node", SharePod: "Pod", ShareCluster: "Cluster"}
	loadBalancingNames = []string{LeastRequest: "LeastRequest", RoundRobin: "RoundRobin", RandomEndpoint: "Random", ClusterIP: "ClusterIP"}
	accessLogNames     = []string{AccessLogErrors: "Errors", AccessLogOff: "None", AccessLogAll: "All"}
	modeNames          = []string{ModeEnforce: "Enforce", ModeDryRun: "DryRun", ModeDisabled: "Disabled"}
	kindNames          = []string{KindRetryPolicy: "RetryPolicy", KindClusterRetryPolicy: "ClusterRetryPolicy"}
	targetKindNames    = []string{TargetService: "service", TargetHost: "host", TargetCIDR: "cidr", TargetAny: "any"}
	protocolNames      = []string{
		ProtocolAuto: "Auto", ProtocolHTTP: "HTTP", ProtocolHTTP2: "HTTP2", ProtocolGRPC: "GRPC", ProtocolTLS: "TLS", ProtocolTCP: "TCP",
	}
	tlsModeNames   = []string{TLSPassthrough: "Passthrough", TLSOriginate: "Originate", TLSIntercept: "Intercept"}
	pathMatchNames = []string{PathAny: "Any", PathExact: "Exact", PathPrefix: "Prefix", PathRegularExpression: "RegularExpression", PathGRPC: "GRPC"}
)

// nameOf returns the name of value n, or its number if it has none.
func nameOf[N ~uint8](names []string, n N) string {
	if int(n) < len(names) {
		return names[n]
	}
	return strconv.Itoa(int(n))
}

func (c Condition) String() string     { return nameOf(conditionNames, c) }
func (s GRPCStatus) String() string    { return nameOf(grpcNames, s) }
func (i Idempotency) String() string   { return nameOf(idempotencyNames, i) }
func (s Strategy) String() string      { return nameOf(strategyNames, s) }
func (j Jitter) String() string        { return nameOf(jitterNames, j) }
func (s BreakerScope) String() string  { return nameOf(breakerScopeNames, s) }
func (s Sharing) String() string       { return nameOf(sharingNames, s) }
func (l LoadBalancing) String() string { return nameOf(loadBalancingNames, l) }
func (a AccessLog) String() string     { return nameOf(accessLogNames, a) }
func (m Mode) String() string          { return nameOf(modeNames, m) }
func (k Kind) String() string          { return nameOf(kindNames, k) }
func (k TargetKind) String() string    { return nameOf(targetKindNames, k) }
func (p Protocol) String() string      { return nameOf(protocolNames, p) }
func (m TLSMode) String() string       { return nameOf(tlsModeNames, m) }
func (p PathMatch) String() string     { return nameOf(pathMatchNames, p) }

// Names lists the members of s.
func (s Conditions) Names() []string {
	names := []string{}
	for c := range conditionCount {
		if s.Has(c) {
			names = append(names, c.String())
		}
	}
	return names
}

// MarshalText writes r as users do: "503" or "502-504".
func (r StatusRange) MarshalText() ([]byte, error) {
	text := strconv.AppendUint(nil, uint64(r.From), 10)
	if r.To != r.From {
		text = strconv.AppendUint(append(text, '-'), uint64(r.To), 10)
	}
	return text, nil
}
