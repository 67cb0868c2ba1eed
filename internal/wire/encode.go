package wire

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// translator maps compiled policy and reports to messages.
type translator struct{ checker }

func enc[P ~uint8, W ~int32](e *translator, table enum[W], v P) W {
	w, err := toWire(table, v)
	if err != nil && e.err == nil {
		e.err = err
	}
	return w
}

func (e *translator) conditions(s policy.Conditions) []pb.Condition {
	list, err := conditionsToProto(s)
	if err != nil && e.err == nil {
		e.err = err
	}
	return list
}

// each translates a list; an empty list becomes nil.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func widen[T ~uint8 | ~uint16](v T) uint32 { return uint32(v) }

func workloadToProto(w *policy.Workload) *pb.Workload {
	out := &pb.Workload{Uid: w.UID, Namespace: w.Namespace, Name: w.Name, Profile: w.Profile, Zone: w.Zone}
	if w.Owner != (policy.Owner{}) {
		out.Owner = &pb.Owner{Kind: w.Owner.Kind, Name: w.Owner.Name}
	}
	return out
}

func profileToProto(p *policy.Profile) (*pb.Profile, error) {
	e := new(translator)
	e.limit("bindings", len(p.Bindings), maxBindings)
	m := &pb.Profile{Name: p.Name, FailClosed: p.FailClosed, Bindings: each(p.Bindings, e.binding)}
	return m, e.err
}

func (e *translator) policyID(id policy.ID) *pb.PolicyID {
	return &pb.PolicyID{Kind: enc(e, policyKinds, id.Kind), Namespace: id.Namespace, Name: id.Name}
}

func (e *translator) binding(b policy.Binding) *pb.Binding {
	e.limit("merged policies", len(b.Merged), maxList)
	e.limit("rules", len(b.Rules), maxRules)
	return &pb.Binding{
		Key: b.Key, Policy: e.policyID(b.Policy), Merged: each(b.Merged, e.policyID), Mode: enc(e, modes, b.Mode),
		To: e.target(b.To), Base: e.settings(&b.Base), Rules: each(b.Rules, e.rule), RejectQuic: b.RejectQUIC,
		ForcedBreaker: e.forcedBreaker(b.ForcedBreaker), Unchanged: b.Unchanged,
	}
}

func (e *translator) target(t policy.Target) *pb.Target {
	e.limit("excepted blocks", len(t.Except), maxList)
	e.limit("ports", len(t.Ports), maxPorts)
	m := &pb.Target{
		Kind: enc(e, targetKinds, t.Kind), Protocol: enc(e, protocols, t.Protocol), Service: t.Service, Host: t.Host,
		Except: each(t.Except, e.prefix), Ports: each(t.Ports, widen[uint16]),
	}
	if t.Block != (netip.Prefix{}) {
		m.Block = e.prefix(t.Block)
	}
	if t.Via != (policy.Via{}) {
		m.Via = &pb.Via{Host: t.Via.Host, Port: uint32(t.Via.Port), Credentials: t.Via.Credentials}
	}
	if v := &t.TLS; *v != (policy.TLS{}) {
		m.Tls = &pb.TLS{
			Mode: enc(e, tlsModes, v.Mode), ServerName: v.ServerName, Port: uint32(v.Port), Roots: v.Roots, Certificate: v.Certificate,
			Issuer: v.Issuer, PassAfter: e.count(v.PassAfter),
		}
	}
	return m
}

// tlsHandshake leaves out what agents take for granted: a profile that says nothing about TLS needs no agent that knows it.
func (e *translator) tlsHandshake(d time.Duration) *int64 {
	if d == policy.Defaults().Timeouts.TLSHandshake {
		return nil
	}
	n := e.duration(d)
	return &n
}

func (e *translator) prefix(p netip.Prefix) *pb.Prefix {
	if !p.IsValid() {
		e.fail("invalid address block")
		return nil
	}
	return &pb.Prefix{Address: p.Addr().AsSlice(), Bits: uint32(p.Bits())}
}

func (e *translator) rule(r policy.Rule) *pb.Rule {
	e.limit("matches", len(r.Match), maxList)
	return &pb.Rule{
		Name: r.Name, Match: each(r.Match, e.match), Settings: e.settings(&r.Settings), OwnBudget: r.OwnBudget, OwnBreaker: r.OwnBreaker,
		OwnRateLimit: r.OwnRateLimit, OwnConcurrency: r.OwnConcurrency,
		OwnAdaptive: r.OwnAdaptive, OwnHedging: r.OwnHedging,
	}
}

func (e *translator) match(m policy.RequestMatch) *pb.RequestMatch {
	e.limit("methods", len(m.Methods), maxList)
	e.limit("header fields of a match", len(m.Headers), maxList)
	return &pb.RequestMatch{
		Methods: each(m.Methods, func(s string) string { return s }), PathType: enc(e, pathMatches, m.PathType), Path: m.Path, Host: m.Host,
		Headers: each(m.Headers, e.requestHeader),
	}
}

func (e *translator) requestHeader(h policy.RequestHeader) *pb.RequestHeaderMatch {
	return &pb.RequestHeaderMatch{Name: h.Name, Type: enc(e, valueMatches, h.Type), Value: h.Value}
}

func (e *translator) settings(s *policy.Settings) *pb.Settings {
	t, p := &s.Timeouts, &s.Pool
	return &pb.Settings{
		Timeouts: &pb.Timeouts{
			Connect: e.duration(t.Connect), PerTry: e.duration(t.PerTry), ResponseHeader: e.duration(t.ResponseHeader), Idle: e.duration(t.Idle),
			Read: e.duration(t.Read), Write: e.duration(t.Write), Overall: e.duration(t.Overall), MaxDuration: e.duration(t.MaxDuration),
			TlsHandshake: e.tlsHandshake(t.TLSHandshake), Adaptive: e.adaptive(t.Adaptive),
		},
		Retry: e.retry(&s.Retry),
		Pool: &pb.Pool{
			MaxConnections: e.count(p.MaxConnections), MaxConnectionsPerEndpoint: e.count(p.MaxConnectionsPerEndpoint),
			MaxIdlePerEndpoint: e.count(p.MaxIdlePerEndpoint), IdleTimeout: e.duration(p.IdleTimeout), MaxLifetime: e.duration(p.MaxLifetime),
			MaxRequestsPerConnection: e.count(p.MaxRequestsPerConnection), MaxPending: e.count(p.MaxPending),
			PendingTimeout: e.duration(p.PendingTimeout), KeepAliveIdle: e.duration(p.KeepAlive.Idle),
			KeepAliveInterval: e.duration(p.KeepAlive.Interval), KeepAliveProbes: e.count(p.KeepAlive.Probes),
			MaxStreams: e.count(p.MaxStreams), PingInterval: e.duration(p.PingInterval), PingTimeout: e.duration(p.PingTimeout),
		},
		Breaker:       e.breaker(s.Breaker),
		Fallback:      e.fallback(s.Fallback),
		Faults:        e.faults(s.Faults),
		LoadBalancing: enc(e, loadBalancings, s.LoadBalancing),
		AccessLog:     enc(e, accessLogs, s.AccessLog),
		AttemptHeader: s.AttemptHeader,
		Tracing:       e.tracing(s.Tracing),
		RateLimit:     e.rateLimit(s.RateLimit),
		Concurrency:   e.concurrency(s.Concurrency),
	}
}

func (e *translator) tracing(t *policy.Tracing) *pb.Tracing {
	if t == nil {
		return nil
	}
	return &pb.Tracing{SamplePercent: e.count(t.SamplePercent)}
}

func (e *translator) adaptive(a policy.Adaptive) *pb.Adaptive {
	if a == (policy.Adaptive{}) {
		return nil
	}
	return &pb.Adaptive{Min: e.duration(a.Min), Max: e.duration(a.Max), Deviations: e.count(a.Deviations), Window: e.count(a.Window)}
}

func (e *translator) retry(r *policy.Retry) *pb.Retry {
	for _, n := range []int{len(r.StatusCodes), len(r.ResponseHeaders), len(r.GRPCStatuses), len(r.Overrides)} {
		e.limit("entries of a retry list", n, maxList)
	}
	return &pb.Retry{
		MaxRetries:  e.count(r.MaxRetries),
		On:          e.conditions(r.On),
		StatusCodes: each(r.StatusCodes, statusRange),
		ResponseHeaders: each(r.ResponseHeaders, func(h policy.HeaderMatch) *pb.HeaderMatch {
			return &pb.HeaderMatch{Name: h.Name, Value: h.Value}
		}),
		GrpcStatuses:    each(r.GRPCStatuses, widen[policy.GRPCStatus]),
		Overrides:       each(r.Overrides, e.override),
		Backoff:         e.backoff(r.Backoff),
		RetryAfterHonor: r.RetryAfter.Honor, RetryAfterMax: e.duration(r.RetryAfter.Max),
		Idempotency: enc(e, idempotencies, r.Idempotency), KeyHeader: r.KeyHeader, GenerateKey: r.GenerateKey,
		Budget:       &pb.Budget{Percent: e.percent(r.Budget.Percent), MinPerSecond: e.count(r.Budget.MinPerSecond), Window: e.duration(r.Budget.Window)},
		BodyMaxBytes: e.size(r.BodyMaxBytes), AvoidPreviousEndpoints: r.AvoidPreviousEndpoints,
		Hedging: e.hedging(r.Hedging), SkipRetried: r.SkipRetried,
	}
}

func (e *translator) hedging(h policy.Hedging) *pb.Hedging {
	if h == (policy.Hedging{}) {
		return nil
	}
	return &pb.Hedging{Max: e.count(h.Max), Delay: e.duration(h.Delay), Percentile: e.count(h.Percentile)}
}

func statusRange(s policy.StatusRange) *pb.StatusRange {
	return &pb.StatusRange{From: uint32(s.From), To: uint32(s.To)}
}

func (e *translator) override(o policy.RetryOverride) *pb.RetryOverride {
	e.limit("entries of an override", max(len(o.StatusCodes), len(o.GRPCStatuses)), maxList)
	return &pb.RetryOverride{
		On: e.conditions(o.On), StatusCodes: each(o.StatusCodes, statusRange), GrpcStatuses: each(o.GRPCStatuses, widen[policy.GRPCStatus]),
		MaxRetries: e.count(o.MaxRetries), Backoff: e.backoff(o.Backoff),
	}
}

func (e *translator) backoff(b policy.Backoff) *pb.Backoff {
	return &pb.Backoff{
		Strategy: enc(e, strategies, b.Strategy), Initial: e.duration(b.Initial), Max: e.duration(b.Max), Multiplier: e.multiplier(b.Multiplier),
		Jitter: enc(e, jitters, b.Jitter), JitterPercent: e.percent(b.JitterPercent),
	}
}

func (e *translator) breaker(b *policy.Breaker) *pb.Breaker {
	if b == nil {
		return nil
	}
	e.limit("entries of a breaker's lists", max(len(b.FailureStatus), len(b.FailureGRPC)), maxList)
	m := &pb.Breaker{
		ConsecutiveFailures: e.count(b.ConsecutiveFailures), FailureOn: e.conditions(b.FailureOn),
		FailureStatus: each(b.FailureStatus, statusRange), FailureGrpc: each(b.FailureGRPC, widen[policy.GRPCStatus]), OpenDuration: e.duration(b.OpenDuration), OpenMaxDuration: e.duration(b.OpenMaxDuration),
		OpenJitterPercent: e.percent(b.OpenJitterPercent), Probes: e.count(b.Probes), SuccessesToClose: e.count(b.SuccessesToClose),
		Scope: enc(e, breakerScopes, b.Scope), MaxEjectedPercent: e.percent(b.MaxEjectedPercent), Sharing: enc(e, sharings, b.Sharing),
	}
	if r := b.ErrorRate; r != nil {
		m.ErrorRate = &pb.ErrorRate{Percent: e.percent(r.Percent), MinimumRequests: e.count(r.MinimumRequests), Window: e.duration(r.Window)}
	}
	if c := b.SlowCalls; c != nil {
		m.SlowCalls = &pb.SlowCalls{
			Threshold: e.duration(c.Threshold), Percent: e.percent(c.Percent), MinimumRequests: e.count(c.MinimumRequests), Window: e.duration(c.Window),
		}
	}
	return m
}

func (e *translator) fallback(f *policy.Fallback) *pb.Fallback {
	if f == nil {
		return nil
	}
	m := &pb.Fallback{CircuitOpen: f.On.CircuitOpen, RetriesExhausted: f.On.RetriesExhausted, RateLimited: f.On.RateLimited}
	if r := f.Response; r != nil {
		e.limit("fields of a response", len(r.Headers), maxList)
		m.Response = &pb.FallbackResponse{Status: e.count(r.Status), Body: r.Body}
		m.Response.Headers = each(r.Headers, func(h policy.HeaderField) *pb.HeaderMatch { return &pb.HeaderMatch{Name: h.Name, Value: h.Value} })
	}
	if f.Destination != nil {
		m.Destination = e.target(*f.Destination)
	}
	return m
}

func destinationToProto(d *policy.Destination) (*pb.Destination, error) {
	e := new(translator)
	for _, n := range []int{len(d.ClusterIPs), len(d.Ports), len(d.Hostnames)} {
		e.limit("entries of a destination list", n, maxList)
	}
	m := &pb.Destination{
		Name:       d.Name,
		ClusterIps: each(d.ClusterIPs, e.addr),
		Ports:      each(d.Ports, e.port),
		Hostnames:  each(d.Hostnames, func(s string) string { return s }),
		Affinity:   e.duration(d.Affinity),
		LocalOnly:  d.LocalOnly,
	}
	return m, e.err
}

func (e *translator) port(p policy.DestinationPort) *pb.DestinationPort {
	e.limit("endpoints", len(p.Endpoints), maxEndpoints)
	m := &pb.DestinationPort{Port: uint32(p.Port), Name: p.Name}
	for i := range p.Endpoints {
		if at := &p.Endpoints[i]; at.Plain() {
			m.Endpoints = append(m.Endpoints, e.addrPort(at.Addr))
		} else {
			m.Described = append(m.Described, e.endpoint(at))
		}
	}
	return m
}

func (e *translator) endpoint(at *policy.Endpoint) *pb.Endpoint {
	e.limit("hints of an endpoint", max(len(at.ForNodes), len(at.ForZones)), maxList)
	return &pb.Endpoint{
		Address: e.addrPort(at.Addr), Terminating: at.Terminating, Node: at.Node, ForNodes: slices.Clone(at.ForNodes), ForZones: slices.Clone(at.ForZones),
	}
}

func (e *translator) addr(a netip.Addr) []byte {
	if !a.IsValid() || a.Zone() != "" {
		e.fail("address %q", a)
		return nil
	}
	return a.AsSlice()
}

func (e *translator) addrPort(a netip.AddrPort) []byte {
	b := e.addr(a.Addr())
	return append(b, byte(a.Port()), byte(a.Port()>>8))
}
