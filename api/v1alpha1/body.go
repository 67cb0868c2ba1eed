package v1alpha1

// PolicyBody is what a policy asks for the calls it governs. Each block merges
// with the same block of other policies for the same call.
//
// +kubebuilder:validation:XValidation:rule="!has(self.rules) || !has(self.timeouts) || self.rules.all(r, !has(r.timeouts) || has(r.timeouts.perTry) == has(r.timeouts.overall) || (has(r.timeouts.perTry) ? (!has(self.timeouts.overall) || self.timeouts.overall.matches('^[0hms]+$') || [r.timeouts.perTry, self.timeouts.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(r.timeouts.perTry) <= duration(self.timeouts.overall)) : (!has(self.timeouts.perTry) || r.timeouts.overall.matches('^[0hms]+$') || [self.timeouts.perTry, r.timeouts.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.timeouts.perTry) <= duration(r.timeouts.overall))))",message="a rule is merged over timeouts, and there perTry must not be longer than overall: set both perTry and overall in the rule"
// +kubebuilder:validation:XValidation:rule="!has(self.retry) || !has(self.retry.hedging) || !has(self.retry.hedging.delay) || !has(self.timeouts) || !has(self.timeouts.overall) || self.timeouts.overall.matches('^[0hms]+$') || [self.retry.hedging.delay, self.timeouts.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.retry.hedging.delay) < duration(self.timeouts.overall)",message="retry.hedging.delay must be shorter than timeouts.overall, or no hedge can ever start"
type PolicyBody struct {
	// rules single out calls by what they ask for. The first rule that matches
	// a call is merged over the blocks beside rules. As a list, the rules of a
	// later policy replace those of an earlier one; an empty list removes them.
	// A later policy's blocks replace what an earlier one's rules set.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Rules []Rule `json:"rules,omitzero"`

	CallBlocks `json:",inline"`

	// connectionPool bounds and keeps the connections of each pod to each
	// destination.
	// +optional
	ConnectionPool *ConnectionPool `json:"connectionPool,omitempty"`

	// loadBalancing picks among the endpoints of a service. Where the Service
	// says itself how its endpoints are picked, the cluster does it.
	// +optional
	LoadBalancing *LoadBalancing `json:"loadBalancing,omitempty"`

	// failurePolicy says what new connections of the governed pods do while
	// their node's agent is gone. Defaults to Open. A pod is Closed if any of
	// its policies is.
	// +optional
	FailurePolicy FailurePolicy `json:"failurePolicy,omitempty"`

	// udp443 says what becomes of new flows of QUIC (HTTP/3, UDP to port 443),
	// which no policy governs. Defaults to Allow. A flow shows no name: for a
	// host, Reject acts wherever it goes; for a service, at its cluster IPs.
	// +optional
	UDP443 UDP443 `json:"udp443,omitempty"`

	// observability says what is logged, traced and reported.
	// +optional
	Observability *Observability `json:"observability,omitempty"`
}

// CallBlocks are the blocks that can differ from call to call, and so may also
// stand in a rule.
type CallBlocks struct {
	// timeouts bound the parts of a call. Absent means only connecting (5s)
	// and TLS handshakes (5s) are bounded.
	// +optional
	Timeouts *Timeouts `json:"timeouts,omitempty"`

	// retry says which failed calls are tried again, how often and when.
	// Absent means twice, for failures that provably did not reach the server.
	// +optional
	Retry *Retry `json:"retry,omitempty"`

	// circuitBreaker stops calls to a destination that keeps failing. Absent
	// means off.
	// +optional
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`

	// rateLimit bounds how many calls start per time. Absent means no limit.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// concurrency bounds how many calls run at once. Absent means no limit.
	// +optional
	Concurrency *Concurrency `json:"concurrency,omitempty"`

	// fallback answers calls that could not be served. Absent means the
	// caller gets the failure.
	// +optional
	Fallback *Fallback `json:"fallback,omitempty"`

	// faults injects faults into attempts for a time, to put the policy to the
	// test. Absent means none.
	// +optional
	Faults *Faults `json:"faults,omitempty"`
}

// FailurePolicy says what new connections do while the node's agent is gone.
// +kubebuilder:validation:Enum=Open;Closed
type FailurePolicy string

const (
	// FailurePolicyOpen lets new connections flow directly, ungoverned.
	FailurePolicyOpen FailurePolicy = "Open"
	// FailurePolicyClosed refuses new connections to governed destinations.
	FailurePolicyClosed FailurePolicy = "Closed"
)

// UDP443 says what becomes of UDP to port 443.
// +kubebuilder:validation:Enum=Allow;Reject
type UDP443 string

const (
	// UDP443Allow lets it pass; the status shows that it was seen.
	UDP443Allow UDP443 = "Allow"
	// UDP443Reject refuses it at once, so that clients go on over TCP.
	UDP443Reject UDP443 = "Reject"
)

// Rule changes the policy for some calls.
//
// +kubebuilder:validation:XValidation:rule="has(self.timeouts) || has(self.retry) || has(self.circuitBreaker) || has(self.rateLimit) || has(self.concurrency) || has(self.fallback) || has(self.faults)",message="a rule must change something: set at least one of timeouts, retry, circuitBreaker, rateLimit, concurrency, fallback and faults"
// +kubebuilder:validation:XValidation:rule="!has(self.retry) || !has(self.retry.hedging) || !has(self.retry.hedging.delay) || !has(self.timeouts) || !has(self.timeouts.overall) || self.timeouts.overall.matches('^[0hms]+$') || [self.retry.hedging.delay, self.timeouts.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.retry.hedging.delay) < duration(self.timeouts.overall)",message="retry.hedging.delay must be shorter than timeouts.overall, or no hedge can ever start"
type Rule struct {
	// name identifies the rule within its policy and in the access log.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="write a rule's name in lower-case letters, digits and dashes, such as slow-reports"
	Name string `json:"name"`

	// match lists the calls that are meant; a call that fits any entry is.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Match []CallMatch `json:"match"`

	CallBlocks `json:",inline"`
}

// CallMatch describes calls. A call fits when it fits every field that is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.methods) || has(self.path) || has(self.grpc) || has(self.host) || has(self.headers)",message="a match must not be empty: set methods, path, grpc, host or headers"
// +kubebuilder:validation:XValidation:rule="!has(self.grpc) || !(has(self.methods) || has(self.path))",message="grpc stands alone: it already says method and path; move methods and path to an entry of their own"
type CallMatch struct {
	// methods lists HTTP methods, in upper case. Absent means every method.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Z][A-Z0-9_-]*$')",message="write an HTTP method in upper case, such as GET or POST"
	Methods []string `json:"methods,omitempty"`

	// path fits the request's path, without its query. Absent means every path.
	// +optional
	Path *PathMatch `json:"path,omitempty"`

	// grpc fits gRPC calls: POST requests with a content type of gRPC.
	// +optional
	GRPC *GRPCMatch `json:"grpc,omitempty"`

	// host fits the host that the request names (Host or :authority), without
	// its port. Absent means every host.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self != '*'",message="leave host out to mean every host"
	Host Host `json:"host,omitempty"`

	// headers fit requests that have all of these header fields. Of a field that
	// is there several times one has to fit.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Headers []RequestHeaderMatch `json:"headers,omitempty"`
}

// PathMatch describes request paths.
//
// +kubebuilder:validation:XValidation:rule="self.value.startsWith('/') || (has(self.type) && self.type == 'RegularExpression')",fieldPath=".value",message="a path starts with a slash: write /v1/charges"
// +kubebuilder:validation:XValidation:rule="(!self.value.contains('?') && !self.value.contains('#')) || (has(self.type) && self.type == 'RegularExpression')",fieldPath=".value",message="a path is compared without query and fragment: leave out everything from ? or # on"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'RegularExpression' || ('x'.matches(self.value) ? true : true)",fieldPath=".value",message="write a regular expression in the syntax of RE2, such as /v1/users/[0-9]+"
type PathMatch struct {
	// type says how value is compared. Defaults to Prefix.
	// +optional
	Type PathMatchType `json:"type,omitempty"`

	// value is the path, starting with a slash, or the regular expression.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// PathMatchType says how paths are compared.
// +kubebuilder:validation:Enum=Exact;Prefix;RegularExpression
type PathMatchType string

const (
	// PathExact fits only the same path, byte by byte.
	PathExact PathMatchType = "Exact"
	// PathPrefix fits the path and everything below it, by whole segments:
	// /v1 fits /v1 and /v1/charges, not /v10.
	PathPrefix PathMatchType = "Prefix"
	// PathRegularExpression fits paths that a regular expression (RE2) fits as
	// a whole. It fits no path longer than 4096 bytes.
	PathRegularExpression PathMatchType = "RegularExpression"
)

// RequestHeaderMatch describes requests by a header field.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || has(self.value)",message="type says how value is compared: write value, or leave out type for any value"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'RegularExpression' || !has(self.value) || ('x'.matches(self.value) ? true : true)",fieldPath=".value",message="write a regular expression in the syntax of RE2, such as gold|silver"
type RequestHeaderMatch struct {
	// name is the field's name; case does not matter.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.lowerAscii() != 'host'",message="to match the host write it as host, beside headers"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="this header field belongs to the connection, not to the request: match another one"
	Name HeaderName `json:"name"`

	// type says how value is compared. Defaults to Exact.
	// +optional
	Type HeaderMatchType `json:"type,omitempty"`

	// value is compared byte by byte with the field's. Absent means any value.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// HeaderMatchType says how the values of header fields are compared.
// +kubebuilder:validation:Enum=Exact;Prefix;RegularExpression
type HeaderMatchType string

const (
	// HeaderExact fits only the same value.
	HeaderExact HeaderMatchType = "Exact"
	// HeaderPrefix fits values that begin so.
	HeaderPrefix HeaderMatchType = "Prefix"
	// HeaderRegularExpression fits values that a regular expression (RE2) fits
	// as a whole. It fits no value longer than 4096 bytes.
	HeaderRegularExpression HeaderMatchType = "RegularExpression"
)

// GRPCMatch describes gRPC calls.
//
// +kubebuilder:validation:XValidation:rule="has(self.service) || has(self.method)",message="grpc must not be empty: set service, such as shop.v1.Inventory, or method, or both"
type GRPCMatch struct {
	// service is the full name of the gRPC service, such as
	// shop.v1.Inventory. Absent means every service.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$')",message="write the full name of the gRPC service without slashes, such as shop.v1.Inventory"
	Service string `json:"service,omitempty"`

	// method is the name of the gRPC method, such as Reserve. Absent means
	// every method.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="write the name of the gRPC method without slashes or dots, such as Reserve"
	Method string `json:"method,omitempty"`
}
