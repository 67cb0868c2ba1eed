package compile

import (
	"reflect"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// requestFields lists the fields that are about requests, or TLS of the agent's own, by their paths as in Field: an entry stands for itself and everything below it. Where connections are
// passed through as they are, encrypted or of another protocol, there is nothing that they could act on. A test compares them with what tests hold for such connections.
var requestFields = strings.Fields(`
	rules
	timeouts.tlsHandshake timeouts.responseHeader timeouts.read timeouts.write
	retry.statusCodes retry.responseHeaders retry.grpcStatuses retry.overrides[].statusCodes retry.overrides[].grpcStatuses
	retry.retryAfter retry.idempotency retry.body retry.hedging retry.alreadyRetried
	circuitBreaker.failures.statusCodes circuitBreaker.failures.grpcStatuses
	connectionPool.maxIdlePerEndpoint connectionPool.idleTimeout connectionPool.maxLifetime connectionPool.maxRequestsPerConnection
	connectionPool.http2
	concurrency
	fallback.response
	faults.abort.statusCode faults.abort.grpcStatus
	observability.tracing observability.requestHeaders
`)

// AboutRequests reports whether a field of a policy's blocks or rules has no effect where connections are passed through, by its path as in Field.
func AboutRequests(path string) bool {
	_, ok := entryOf(requestFields, path)
	return ok
}

// withoutRequests adds the fields that are set and about requests, for an entry of to whose connections are passed through.
func (u *unenforced) withoutRequests(src *Source, target int, reason string) {
	if src.Body == nil {
		return
	}
	walk(leaf{}, reflect.ValueOf(src.Body).Elem(), func(l leaf) {
		if strings.HasPrefix(l.shown, "rules[") {
			u.add(UnenforcedField{src.field("rules"), reason, target})
			return
		}
		entry, ok := entryOf(requestFields, l.path)
		if l.path == "faults.abort.type" && l.value == string(v1alpha1.FaultResponse) {
			entry, ok = l.path, true
		}
		if ok {
			u.add(UnenforcedField{src.field(shown(l.shown, entry)), reason, target})
		}
	})
}

// passedThrough returns why the connections to an entry of to are passed through, as far as that is known from the policy; "" if they are not.
func passedThrough(d *v1alpha1.Destination) (reason string) {
	protocol := declared(d)
	switch {
	case intercepts(d): // whom the agent cannot serve, it sees and reports itself
	case protocol == v1alpha1.ProtocolTCP:
		return v1alpha1.ReasonOpaqueProtocol
	case protocol == v1alpha1.ProtocolTLS, protocol == v1alpha1.ProtocolAuto && mayBeHTTPS(d):
		return v1alpha1.ReasonEncrypted
	}
	return ""
}
