package importer

import "fairlead.dev/fairlead/api/v1alpha1"

// limit reads a limit; what is above the greatest that a policy may have is that.
func (s *source) limit(t tree, most int32) *int32 {
	n, ok := t.number()
	if !ok || n == 0 {
		return nil
	}
	if n > most {
		s.differ(t.path, "a policy has at most %d; as good as none", most)
		n = most
	}
	return &n
}

func (s *source) istioPool(body *v1alpha1.PolicyBody, pool tree) {
	if !pool.is() {
		return
	}
	tcp, http := pool.at("tcp"), pool.at("http")
	p := v1alpha1.ConnectionPool{
		MaxConnections: s.limit(tcp.at("maxConnections"), 65535), MaxLifetime: s.duration(tcp.at("maxConnectionDuration")),
		IdleTimeout: s.duration(http.at("idleTimeout")), MaxPending: s.limit(http.at("http1MaxPendingRequests"), 65535),
		MaxRequestsPerConnection: s.limit(http.at("maxRequestsPerConnection"), 1_000_000),
	}
	k := tcp.at("tcpKeepalive")
	if k.is() {
		p.TCPKeepAlive = &v1alpha1.TCPKeepAlive{Idle: s.duration(k.at("time")), Interval: s.duration(k.at("interval")), Probes: s.limit(k.at("probes"), 10)}
	}
	if n := s.limit(http.at("maxConcurrentStreams"), 65535); n != nil {
		p.HTTP2 = &v1alpha1.HTTP2Pool{MaxConcurrentStreams: n}
	}
	if p != (v1alpha1.ConnectionPool{}) {
		body.ConnectionPool = &p
	}
	if d := s.duration(tcp.at("connectTimeout")); d != "" {
		body.Timeouts = &v1alpha1.Timeouts{Connect: d}
	}
	if d := s.duration(tcp.at("idleTimeout")); d != "" {
		if body.Timeouts == nil {
			body.Timeouts = &v1alpha1.Timeouts{}
		}
		body.Timeouts.Idle = d
	}
	if n := s.limit(http.at("http2MaxRequests"), 1_000_000); n != nil {
		body.Concurrency = &v1alpha1.Concurrency{Max: n, Scope: v1alpha1.ConcurrencyScopePod}
	}
}

// outliers reads Istio's outlier detection: a circuit breaker of each endpoint.
func (s *source) outliers(body *v1alpha1.PolicyBody, o tree) {
	if !o.is() {
		return
	}
	b := v1alpha1.CircuitBreaker{Scope: v1alpha1.BreakerScopeEndpoint}
	gateway := s.limit(o.at("consecutiveGatewayErrors"), 1000)
	five := s.limit(o.at("consecutive5xxErrors"), 1000)
	if five == nil {
		five = s.limit(o.at("consecutiveErrors"), 1000)
	}
	switch zero, set := o.at("consecutive5xxErrors").number(); {
	case five != nil:
		b.ConsecutiveFailures = five
		b.Failures = failures(v1alpha1.RetryOnServerError)
		if gateway != nil {
			s.differ(o.at("consecutiveGatewayErrors").path, "one count is kept for each endpoint: that of consecutive5xxErrors, which counts these too")
		}
	case gateway != nil:
		b.ConsecutiveFailures = gateway
		b.Failures = failures(v1alpha1.RetryOnGatewayError)
	case set && zero == 0:
		s.loseOutliers(o)
		return
	default:
		n := int32(5) // Istio's own default
		b.ConsecutiveFailures = &n
	}
	if d := s.duration(o.at("baseEjectionTime")); d != "" {
		b.Open = &v1alpha1.BreakerOpen{Duration: d}
	}
	b.MaxEjectedPercent = s.limit(o.at("maxEjectionPercent"), 100)
	if b.MaxEjectedPercent == nil {
		n := int32(10) // Istio's own default
		b.MaxEjectedPercent = &n
	}
	body.CircuitBreaker = &b
}

// failures are those of a connection, and answers of a kind.
func failures(answer v1alpha1.RetryCondition) *v1alpha1.BreakerFailures {
	return &v1alpha1.BreakerFailures{When: []v1alpha1.RetryCondition{v1alpha1.RetryOnConnectFailure, v1alpha1.RetryOnReset, v1alpha1.RetryOnPerTryTimeout, answer}}
}

func (s *source) loseOutliers(o tree) {
	s.lose(o, "it ejects endpoints by nothing that a circuit breaker goes by (consecutive5xxErrors is 0)")
}
