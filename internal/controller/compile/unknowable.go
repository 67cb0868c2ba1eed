package compile

import (
	"fmt"
	"reflect"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// unknowableFields lists the fields of which a dry run cannot say what they would do, by their paths as in notEnforced: they are about
// connections that are not made, endpoints that are not chosen, stages of calls that only a connection of the agent's own has, faults that are not injected, and what becomes of
// pods when the agent is gone.
var unknowableFields = strings.Fields(`
	timeouts.connect timeouts.tlsHandshake timeouts.idle timeouts.read timeouts.write
	retry.avoidPreviousEndpoints connectionPool loadBalancing failurePolicy udp443 circuitBreaker.maxEjectedPercent faults
	observability.tracing
`)

// unknowable adds the fields that are set and of which a dry run says nothing.
func (u *unenforced) unknowable(src *Source) {
	for i := range src.To {
		d := &src.To[i]
		if d.TLS != nil && d.TLS.Mode != "" && d.TLS.Mode != v1alpha1.TLSPassthrough {
			u.add(UnenforcedField{fmt.Sprintf("to[%d].tls.mode", i), v1alpha1.ReasonNotInDryRun, i})
		}
		if d.Via != nil {
			u.add(UnenforcedField{fmt.Sprintf("to[%d].via", i), v1alpha1.ReasonNotInDryRun, i})
		}
	}
	if src.Body == nil {
		return
	}
	walk(leaf{}, reflect.ValueOf(src.Body).Elem(), func(l leaf) {
		entry, ok := entryOf(unknowableFields, l.path)
		if l.path == "circuitBreaker.scope" && l.value == string(v1alpha1.BreakerScopeEndpoint) {
			entry, ok = l.path, true
		}
		if ok {
			u.add(UnenforcedField{src.field(shown(l.shown, entry)), v1alpha1.ReasonNotInDryRun, -1})
		}
	})
}
