package compile

import (
	"reflect"
	"strings"
)

// requestFields lists the enforced fields that are about requests and responses: they have no meaning where a connection as a whole is one
// call. An entry stands for itself and everything below it. A test compares the list with the tests of each driver.
var requestFields = []string{
	"rules",
	"timeouts.responseHeader",
	"timeouts.read",
	"timeouts.write",
	"retry.statusCodes",
	"retry.responseHeaders",
	"retry.grpcStatuses",
	"retry.overrides[].statusCodes",
	"retry.overrides[].grpcStatuses",
	"retry.retryAfter",
	"retry.idempotency",
	"retry.body",
	"connectionPool.maxIdlePerEndpoint",
	"connectionPool.idleTimeout",
	"connectionPool.maxLifetime",
	"connectionPool.maxRequestsPerConnection",
	"circuitBreaker.failures.statusCodes",
	"circuitBreaker.failures.grpcStatuses",
}

// requestField returns the entry of requestFields that a field, by its path, belongs to.
func requestField(path string) (entry string, ok bool) {
	for _, e := range requestFields {
		if path == e || strings.HasPrefix(path, e+".") || strings.HasPrefix(path, e+"[") {
			return e, true
		}
	}
	return "", false
}

// requestFields adds the fields about requests that are set: without effect at entry i of to, for a reason.
func (u *unenforced) requestFields(src *Source, reason string, i int) {
	if src.Body == nil {
		return
	}
	walk(leaf{}, reflect.ValueOf(src.Body).Elem(), func(l leaf) {
		if strings.HasPrefix(l.shown, "rules[") { // what a rule changes has the path of what it changes
			l = leaf{path: "rules", shown: "rules"}
		}
		if entry, ok := requestField(l.path); ok {
			u.add(UnenforcedField{src.field(shown(l.shown, entry)), reason, i})
		}
	})
}
