package wire

import (
	"fmt"
	"math/bits"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// enum pairs the values of an enum of package policy with those of the protocol: the index is the former. The tables are
// written out so that a reordered constant does not change what travels.
type enum[W ~int32] []W

func toWire[P ~uint8, W ~int32](table enum[W], v P) (W, error) {
	if int(v) >= len(table) {
		return 0, fmt.Errorf("%w: %T value %d", ErrMalformed, v, v)
	}
	return table[v], nil
}

func fromWire[P ~uint8, W ~int32](table enum[W], w W, out *P) error {
	i := slices.Index(table, w)
	if i < 0 {
		return fmt.Errorf("%w: %T value %d", ErrUnsupported, w, w)
	}
	*out = P(i)
	return nil
}

// The tables. They are never written to.
var (
	policyKinds = enum[pb.PolicyKind]{
		policy.KindRetryPolicy:        pb.PolicyKind_POLICY_KIND_RETRY_POLICY,
		policy.KindClusterRetryPolicy: pb.PolicyKind_POLICY_KIND_CLUSTER_RETRY_POLICY,
	}
	modes = enum[pb.Mode]{
		policy.ModeEnforce:  pb.Mode_MODE_ENFORCE,
		policy.ModeDryRun:   pb.Mode_MODE_DRY_RUN,
		policy.ModeDisabled: pb.Mode_MODE_DISABLED,
	}
	targetKinds = enum[pb.TargetKind]{
		policy.TargetService: pb.TargetKind_TARGET_KIND_SERVICE,
		policy.TargetHost:    pb.TargetKind_TARGET_KIND_HOST,
		policy.TargetCIDR:    pb.TargetKind_TARGET_KIND_CIDR,
		policy.TargetAny:     pb.TargetKind_TARGET_KIND_ANY,
	}
	protocols = enum[pb.Protocol]{
		policy.ProtocolAuto:  pb.Protocol_PROTOCOL_AUTO,
		policy.ProtocolHTTP:  pb.Protocol_PROTOCOL_HTTP,
		policy.ProtocolHTTP2: pb.Protocol_PROTOCOL_HTTP2,
		policy.ProtocolGRPC:  pb.Protocol_PROTOCOL_GRPC,
		policy.ProtocolTLS:   pb.Protocol_PROTOCOL_TLS,
		policy.ProtocolTCP:   pb.Protocol_PROTOCOL_TCP,
	}
	pathMatches = enum[pb.PathMatch]{
		policy.PathAny:               pb.PathMatch_PATH_MATCH_ANY,
		policy.PathExact:             pb.PathMatch_PATH_MATCH_EXACT,
		policy.PathPrefix:            pb.PathMatch_PATH_MATCH_PREFIX,
		policy.PathRegularExpression: pb.PathMatch_PATH_MATCH_REGULAR_EXPRESSION,
		policy.PathGRPC:              pb.PathMatch_PATH_MATCH_GRPC,
	}
	valueMatches = enum[pb.ValueMatch]{
		policy.ValueAny:               pb.ValueMatch_VALUE_MATCH_ANY,
		policy.ValueExact:             pb.ValueMatch_VALUE_MATCH_EXACT,
		policy.ValuePrefix:            pb.ValueMatch_VALUE_MATCH_PREFIX,
		policy.ValueRegularExpression: pb.ValueMatch_VALUE_MATCH_REGULAR_EXPRESSION,
	}
	conditions = enum[pb.Condition]{
		policy.ConnectFailure:     pb.Condition_CONDITION_CONNECT_FAILURE,
		policy.RefusedStream:      pb.Condition_CONDITION_REFUSED_STREAM,
		policy.ResetBeforeRequest: pb.Condition_CONDITION_RESET_BEFORE_REQUEST,
		policy.Reset:              pb.Condition_CONDITION_RESET,
		policy.PerTryTimeout:      pb.Condition_CONDITION_PER_TRY_TIMEOUT,
		policy.DNSFailure:         pb.Condition_CONDITION_DNS_FAILURE,
		policy.GatewayError:       pb.Condition_CONDITION_GATEWAY_ERROR,
		policy.ServerError:        pb.Condition_CONDITION_SERVER_ERROR,
		policy.RateLimited:        pb.Condition_CONDITION_RATE_LIMITED,
		policy.Conflict:           pb.Condition_CONDITION_CONFLICT,
		policy.RetryAfterPresent:  pb.Condition_CONDITION_RETRY_AFTER_PRESENT,
	}
	idempotencies = enum[pb.Idempotency]{
		policy.SafeMethods:       pb.Idempotency_IDEMPOTENCY_SAFE_METHODS,
		policy.IdempotentMethods: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT_METHODS,
		policy.IdempotentOrKeyed: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT_OR_KEYED,
		policy.AnyMethod:         pb.Idempotency_IDEMPOTENCY_ANY_METHOD,
	}
	strategies = enum[pb.Strategy]{
		policy.Exponential: pb.Strategy_STRATEGY_EXPONENTIAL,
		policy.Linear:      pb.Strategy_STRATEGY_LINEAR,
		policy.Fixed:       pb.Strategy_STRATEGY_FIXED,
	}
	jitters = enum[pb.Jitter]{
		policy.JitterFull:         pb.Jitter_JITTER_FULL,
		policy.JitterNone:         pb.Jitter_JITTER_NONE,
		policy.JitterEqual:        pb.Jitter_JITTER_EQUAL,
		policy.JitterAdditive:     pb.Jitter_JITTER_ADDITIVE,
		policy.JitterProportional: pb.Jitter_JITTER_PROPORTIONAL,
		policy.JitterDecorrelated: pb.Jitter_JITTER_DECORRELATED,
	}
	breakerScopes = enum[pb.BreakerScope]{
		policy.ScopeDestination: pb.BreakerScope_BREAKER_SCOPE_DESTINATION,
		policy.ScopeEndpoint:    pb.BreakerScope_BREAKER_SCOPE_ENDPOINT,
	}
	sharings = enum[pb.Sharing]{
		policy.ShareNode:    pb.Sharing_SHARING_NODE,
		policy.SharePod:     pb.Sharing_SHARING_POD,
		policy.ShareCluster: pb.Sharing_SHARING_CLUSTER,
	}
	loadBalancings = enum[pb.LoadBalancing]{
		policy.LeastRequest:   pb.LoadBalancing_LOAD_BALANCING_LEAST_REQUEST,
		policy.RoundRobin:     pb.LoadBalancing_LOAD_BALANCING_ROUND_ROBIN,
		policy.RandomEndpoint: pb.LoadBalancing_LOAD_BALANCING_RANDOM,
		policy.ClusterIP:      pb.LoadBalancing_LOAD_BALANCING_CLUSTER_IP,
	}
	accessLogs = enum[pb.AccessLog]{
		policy.AccessLogErrors: pb.AccessLog_ACCESS_LOG_ERRORS,
		policy.AccessLogOff:    pb.AccessLog_ACCESS_LOG_OFF,
		policy.AccessLogAll:    pb.AccessLog_ACCESS_LOG_ALL,
	}
	tlsModes = enum[pb.TLSMode]{
		policy.TLSPassthrough: pb.TLSMode_TLS_MODE_PASSTHROUGH,
		policy.TLSOriginate:   pb.TLSMode_TLS_MODE_ORIGINATE,
		policy.TLSIntercept:   pb.TLSMode_TLS_MODE_INTERCEPT,
	}
	resourceKinds = enum[pb.ResourceKind]{
		0:           pb.ResourceKind_RESOURCE_KIND_UNSPECIFIED,
		Workload:    pb.ResourceKind_RESOURCE_KIND_WORKLOAD,
		Profile:     pb.ResourceKind_RESOURCE_KIND_PROFILE,
		Destination: pb.ResourceKind_RESOURCE_KIND_DESTINATION,
		Roots:       pb.ResourceKind_RESOURCE_KIND_ROOTS,
		KeyPair:     pb.ResourceKind_RESOURCE_KIND_KEY_PAIR,
		Credentials: pb.ResourceKind_RESOURCE_KIND_CREDENTIALS,
	}
	reasons = enum[pb.RejectionReason]{
		0:                 pb.RejectionReason_REJECTION_REASON_UNSPECIFIED,
		ReasonMalformed:   pb.RejectionReason_REJECTION_REASON_MALFORMED,
		ReasonUnsupported: pb.RejectionReason_REJECTION_REASON_UNSUPPORTED,
		ReasonInvalid:     pb.RejectionReason_REJECTION_REASON_INVALID,
		ReasonResources:   pb.RejectionReason_REJECTION_REASON_RESOURCES,
		ReasonInternal:    pb.RejectionReason_REJECTION_REASON_INTERNAL,
	}
)

func conditionsToProto(s policy.Conditions) ([]pb.Condition, error) {
	if s == 0 {
		return nil, nil
	}
	if bits.Len16(uint16(s)) > len(conditions) {
		return nil, fmt.Errorf("%w: conditions %#x", ErrMalformed, s)
	}
	out := make([]pb.Condition, 0, bits.OnesCount16(uint16(s)))
	for c, w := range conditions {
		if s.Has(policy.Condition(c)) {
			out = append(out, w)
		}
	}
	return out, nil
}

func conditionsFromProto(list []pb.Condition) (policy.Conditions, error) {
	var s policy.Conditions
	for _, w := range list {
		var c policy.Condition
		if err := fromWire(conditions, w, &c); err != nil {
			return 0, err
		}
		s |= policy.Of(c)
	}
	return s, nil
}
