package compile

import (
	"reflect"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// http2Fields lists the fields that have nothing to act on in HTTP/1.1, by their paths as in Field: they are about HTTP/2, or gRPC, which it carries.
var http2Fields = strings.Fields(`
	retry.grpcStatuses retry.overrides[].grpcStatuses connectionPool.http2 circuitBreaker.failures.grpcStatuses faults.abort.grpcStatus rules[].match[].grpc
`)

// protocolWarnings says which fields that are set are about HTTP/2 where all destinations are declared to speak HTTP/1.1.
func protocolWarnings(src *Source) (warnings []string) {
	other := func(d v1alpha1.Destination) bool { return declared(&d) != v1alpha1.ProtocolHTTP }
	if len(src.To) == 0 || slices.ContainsFunc(src.To, other) {
		return nil
	}
	walk(leaf{}, reflect.ValueOf(src.Body).Elem(), func(l leaf) {
		entry, ok := entryOf(http2Fields, l.path)
		w := shown(l.shown, entry) + " does nothing with protocol HTTP, which is HTTP/1.1: write HTTP2 or GRPC where that is what calls speak, or leave it out."
		if ok && !contained(warnings, w) {
			warnings = append(warnings, w)
		}
	})
	return warnings
}
