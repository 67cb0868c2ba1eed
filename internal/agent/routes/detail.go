package routes

// Detail says more of how an attempt or a call ended than its kind: one of a closed list, which are the constants below, the
// sentences of the errors of package http1, and the reasons of package tlslayer. It never quotes a message.
type Detail string

// The details.
const (
	// NoDetail: the kind says it all.
	NoDetail Detail = ""

	// The field of timeouts that passed.
	DetailConnect        Detail = "timeouts.connect"
	DetailTLSHandshake   Detail = "timeouts.tlsHandshake"
	DetailPerTry         Detail = "timeouts.perTry"
	DetailAdaptive       Detail = "timeouts.adaptive"
	DetailResponseHeader Detail = "timeouts.responseHeader"
	DetailOverall        Detail = "timeouts.overall"
	DetailMaxDuration    Detail = "timeouts.maxDuration"
	DetailIdle           Detail = "timeouts.idle"
	DetailRead           Detail = "timeouts.read"
	DetailWrite          Detail = "timeouts.write"
	// DetailClientDeadline: the client's own deadline passed.
	DetailClientDeadline Detail = "client deadline"

	// What became of a connection.
	DetailClosed      Detail = "closed"
	DetailReset       Detail = "connection reset"
	DetailRefused     Detail = "connection refused"
	DetailUnreachable Detail = "unreachable"
	// In the TLS handshake, when the connection had been made.
	DetailClosedInHandshake Detail = "closed in the TLS handshake"
	DetailResetInHandshake  Detail = "connection reset in the TLS handshake"
	// DetailNoAnswer: the kernel gave the connection up, because nothing it sent was acknowledged.
	DetailNoAnswer Detail = "no answer"
	// DetailBroken: the connection failed in another way.
	DetailBroken Detail = "connection failed"

	// What became of a call through a proxy.
	DetailProxyUnknown      Detail = "proxy: no address"
	DetailProxyUnauthorized Detail = "proxy: wants credentials"
	DetailProxyRefused      Detail = "proxy: refused"
	DetailProxyUnreachable  Detail = "proxy: cannot reach the host"
	DetailProxyMalformed    Detail = "proxy: malformed answer"
	// DetailProxyNoCredentials: what the proxy is to be given has not come from the manager yet.
	DetailProxyNoCredentials Detail = "proxy: credentials not known"

	// DetailFault: a fault of the policy's own.
	DetailFault Detail = "faults.abort"

	// DetailFallbackUnknown: no address was found of the host that the call falls back on.
	DetailFallbackUnknown Detail = "fallback: no address"

	// What the client did.
	DetailClientLeft Detail = "client left"
	// DetailUploadCut: the request could not be passed on to its end, though it was answered.
	DetailUploadCut Detail = "request not passed on whole"

	// DetailInterim: the upstream sent more interim responses than a call can be about.
	DetailInterim Detail = "too many interim responses"

	// Why the pool had no place.
	DetailQueueFull    Detail = "queue full"
	DetailQueueTimeout Detail = "connectionPool.pendingTimeout"

	// Which limit let no more calls in.
	DetailRateLimit   Detail = "rateLimit"
	DetailConcurrency Detail = "concurrency"

	// What keeps a circuit breaker open, if it is not what the node has seen.
	DetailCluster Detail = "opened by the cluster"
	DetailByHand  Detail = "opened by annotation"

	// DetailMemory: the pod's connections held more of the agent's memory than those of any pod may.
	DetailMemory Detail = "memory of the agent"
	// DetailLocal: the agent lacked something of its own, such as a port or a descriptor.
	DetailLocal Detail = "agent"
)
