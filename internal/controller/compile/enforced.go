package compile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// UnenforcedField is a field that is set and not enforced.
type UnenforcedField struct {
	// Field is its path below spec, such as retry.hedging.
	Field string
	// Reason is one of the Reasons of the PartiallyEnforced condition.
	Reason string
	// Target is the entry of to that the field belongs to, or -1 for all.
	Target int
}

// enforced lists every field that agents act on, by its path below spec. Fields in rules and below defaults and overrides are
// listed without that prefix. A test compares the tables with Fields, so that a new field must be entered in one of them.
var enforced = strings.Fields(`
	rules[].name rules[].match[].methods rules[].match[].path.type rules[].match[].path.value
	rules[].match[].grpc.service rules[].match[].grpc.method rules[].match[].host
	rules[].match[].headers[].name rules[].match[].headers[].type rules[].match[].headers[].value
	timeouts.connect timeouts.tlsHandshake timeouts.perTry timeouts.responseHeader timeouts.idle timeouts.read timeouts.write timeouts.overall
	timeouts.maxDuration timeouts.adaptive.mode timeouts.adaptive.min timeouts.adaptive.max timeouts.adaptive.deviations timeouts.adaptive.window
	retry.maxRetries retry.when retry.statusCodes retry.responseHeaders[].name retry.responseHeaders[].value retry.grpcStatuses
	retry.overrides[].when retry.overrides[].statusCodes retry.overrides[].grpcStatuses retry.overrides[].maxRetries
	retry.overrides[].backoff.strategy retry.overrides[].backoff.initialInterval retry.overrides[].backoff.maxInterval
	retry.overrides[].backoff.multiplier retry.overrides[].backoff.jitter retry.overrides[].backoff.jitterPercent
	retry.backoff.strategy retry.backoff.initialInterval retry.backoff.maxInterval
	retry.backoff.multiplier retry.backoff.jitter retry.backoff.jitterPercent
	retry.retryAfter.honor retry.retryAfter.max
	retry.idempotency.mode retry.idempotency.keyHeader retry.idempotency.generateKey
	retry.budget.percent retry.budget.minRetriesPerSecond retry.budget.window
	retry.body.maxBytes retry.avoidPreviousEndpoints retry.hedging.delay retry.hedging.percentile retry.hedging.maxHedges
	retry.alreadyRetried
	connectionPool.maxConnections connectionPool.maxConnectionsPerEndpoint connectionPool.maxIdlePerEndpoint
	connectionPool.idleTimeout connectionPool.maxLifetime connectionPool.maxRequestsPerConnection
	connectionPool.maxPending connectionPool.pendingTimeout
	connectionPool.http2.maxConcurrentStreams connectionPool.http2.pingInterval connectionPool.http2.pingTimeout
	connectionPool.tcpKeepAlive.idle connectionPool.tcpKeepAlive.interval connectionPool.tcpKeepAlive.probes
	circuitBreaker.mode circuitBreaker.consecutiveFailures
	circuitBreaker.errorRate.percent circuitBreaker.errorRate.minimumRequests circuitBreaker.errorRate.window
	circuitBreaker.slowCalls.threshold circuitBreaker.slowCalls.percent circuitBreaker.slowCalls.minimumRequests
	circuitBreaker.slowCalls.window
	circuitBreaker.failures.when circuitBreaker.failures.statusCodes circuitBreaker.failures.grpcStatuses
	circuitBreaker.open.duration circuitBreaker.open.maxDuration circuitBreaker.open.jitterPercent
	circuitBreaker.halfOpen.probes circuitBreaker.halfOpen.successesToClose circuitBreaker.scope circuitBreaker.maxEjectedPercent
	circuitBreaker.sharing
	rateLimit.mode rateLimit.requests rateLimit.per rateLimit.burst rateLimit.scope rateLimit.onLimit rateLimit.maxWait
	concurrency.mode concurrency.max concurrency.adaptive.min concurrency.adaptive.max
	concurrency.maxQueued concurrency.maxWait concurrency.scope
	fallback.mode fallback.when fallback.response.statusCode fallback.response.headers[].name fallback.response.headers[].value
	fallback.response.body fallback.destination.service.name fallback.destination.service.namespace fallback.destination.service.port
	fallback.destination.host fallback.destination.port
	faults.mode faults.until faults.percent faults.delay.duration faults.delay.jitterPercent
	faults.abort.type faults.abort.statusCode faults.abort.grpcStatus
	loadBalancing.policy failurePolicy udp443 observability.accessLog observability.tracing.samplePercent observability.requestHeaders.attempt
	mode podSelector namespaceSelector
	rollout.percent rollout.observe rollout.abortOn.successRateDropPercent
	to[].service.name to[].service.namespace to[].service.port to[].host to[].ports
	to[].via.proxy to[].via.mode to[].via.credentialsRef.name
	to[].cidr.block to[].cidr.except to[].cidr.ports to[].any
	to[].tls.mode to[].tls.sni to[].tls.port to[].tls.clientCertificateRef.name to[].tls.passthroughAfter
	to[].tls.caBundleRef.kind to[].tls.caBundleRef.name to[].tls.caBundleRef.key
`)

// enforcedValues lists the values of fields that agents act on only with those values.
var enforcedValues = map[string][]string{
	"to[].protocol":      {"Auto", "HTTP", "HTTP2", "GRPC"},
	"to[].cidr.protocol": {"Auto", "HTTP", "HTTP2", "GRPC"},
}

// notEnforced lists the fields that agents do not act on: none at present. An entry stands for itself and everything below it, and is shown as it
// stands here.
var notEnforced []string

// UnenforcedFields lists the fields of src that are set and not enforced, in the order of the API's fields, each once.
func UnenforcedFields(src *Source) []UnenforcedField {
	u := unenforced{seen: map[fieldOf]bool{}}
	if src.Mode == v1alpha1.ModeDryRun {
		u.unknowable(src)
	}
	for i := range src.To {
		u.target(i, &src.To[i])
		if reason := passedThrough(&src.To[i]); reason != "" {
			u.withoutRequests(src, i, reason)
		}
	}
	if src.Body != nil {
		u.body(src)
	}
	return u.list
}

// unenforced collects fields.
type unenforced struct {
	list []UnenforcedField
	seen map[fieldOf]bool
}

// fieldOf is a field as it concerns one entry of to, or all.
type fieldOf struct {
	field  string
	target int
}

func (u *unenforced) add(f UnenforcedField) {
	if of := (fieldOf{f.Field, f.Target}); !u.seen[of] && !u.seen[fieldOf{f.Field, -1}] {
		u.seen[of] = true
		u.list = append(u.list, f)
	}
}

func enforcedValue(field, value string) bool {
	values, limited := enforcedValues[field]
	if !limited {
		return true
	}
	for _, v := range values {
		if v == value {
			return true
		}
	}
	return false
}

// body adds the fields in the blocks and in the rules.
func (u *unenforced) body(src *Source) {
	visit := func(l leaf) {
		if entry, ok := unenforcedEntry(l); ok {
			u.add(UnenforcedField{src.field(shown(l.shown, entry)), v1alpha1.ReasonNotYetSupported, -1})
		}
	}
	walk(leaf{}, reflect.ValueOf(src.Body).Elem(), visit)
}

// unenforcedEntry returns the entry of the table that says a leaf which is set is not enforced.
func unenforcedEntry(l leaf) (string, bool) {
	if l.value != "" && !enforcedValue(l.path, l.value) {
		return l.path, true
	}
	return entryOf(notEnforced, l.path)
}

// entryOf returns the entry of a table that stands for a path.
func entryOf(table []string, path string) (string, bool) {
	for _, entry := range table {
		if path == entry || strings.HasPrefix(path, entry+".") || strings.HasPrefix(path, entry+"[") {
			return entry, true
		}
	}
	return "", false
}

// shown cuts the leaf's path as users write it to the length of a table entry.
func shown(path, entry string) string {
	parts := strings.Split(path, ".")
	n := len(strings.Split(entry, "."))
	if strings.HasPrefix(path, "rules[") && !strings.HasPrefix(entry, "rules[") {
		n++
	}
	return strings.Join(parts[:min(n, len(parts))], ".")
}

// leaf is a field that is set: its path in the table, its path as users see it, and its value if it is a string.
type leaf struct {
	path, shown, value string
}

func (l leaf) field(name string) leaf {
	if l.path == "" && l.shown == "" {
		return leaf{path: name, shown: name}
	}
	if l.path == "" { // in a rule, whose blocks are those of the policy
		return leaf{path: name, shown: l.shown + "." + name}
	}
	return leaf{path: l.path + "." + name, shown: l.shown + "." + name}
}

// walk visits the leaves below v that are set.
func walk(at leaf, v reflect.Value, visit func(leaf)) {
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		if field.IsZero() {
			continue
		}
		if f.Anonymous {
			if strings.HasPrefix(at.path, "rules[]") {
				walk(leaf{shown: at.shown}, field, visit)
			} else {
				walk(at, field, visit)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		walkValue(at.field(name), field, visit)
	}
}

func walkValue(at leaf, v reflect.Value, visit func(leaf)) {
	switch {
	case isBlock(v.Type()) && !isValue(v.Type().Elem()):
		walk(at, v.Elem(), visit)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			item := leaf{path: at.path + "[]", shown: fmt.Sprintf("%s[%d]", at.shown, i)}
			if r, ok := v.Index(i).Interface().(v1alpha1.Rule); ok {
				item.shown = fmt.Sprintf("%s[%s]", at.shown, r.Name)
			}
			walk(item, v.Index(i), visit)
		}
	default:
		if v.Kind() == reflect.String {
			at.value = v.String()
		}
		visit(at)
	}
}

// target adds the fields of one entry of to.
func (u *unenforced) target(i int, d *v1alpha1.Destination) {
	at := fmt.Sprintf("to[%d].", i)
	protocol, field := d.Protocol, at+"protocol"
	if d.CIDR != nil {
		protocol, field = d.CIDR.Protocol, at+"cidr.protocol"
	}
	switch {
	case protocol == v1alpha1.ProtocolTLS:
		u.add(UnenforcedField{field, v1alpha1.ReasonEncrypted, i})
	case protocol == v1alpha1.ProtocolTCP:
		u.add(UnenforcedField{field, v1alpha1.ReasonOpaqueProtocol, i})
	case cleartext(protocol), intercepts(d):
	case d.Host != "" && mayBeHTTPS(d):
		u.add(UnenforcedField{at + "host", v1alpha1.ReasonEncrypted, i})
	case mayBeHTTPS(d):
		u.add(UnenforcedField{at + portsField(d), v1alpha1.ReasonEncrypted, i})
	}
}

// cleartext reports whether calls are declared to be ones that agents understand.
func cleartext(p v1alpha1.Protocol) bool {
	return p == v1alpha1.ProtocolHTTP || p == v1alpha1.ProtocolHTTP2 || p == v1alpha1.ProtocolGRPC
}

// intercepts reports whether agents end the TLS of pods that call a destination, so that they understand what is inside.
func intercepts(d *v1alpha1.Destination) bool {
	return d.TLS != nil && d.TLS.Mode == v1alpha1.TLSIntercept
}

// https is the port on which calls are encrypted by the pod.
const https = 443

// mayBeHTTPS reports whether one of the ports of a destination, as far as it names them, is for encrypted calls.
func mayBeHTTPS(d *v1alpha1.Destination) bool {
	switch {
	case d.Host != "":
		return len(d.Ports) == 0 || slices.Contains(d.Ports, https)
	case d.Service != nil:
		port := d.Service.Port
		return port != nil && (port.IntVal == https || port.StrVal == "https")
	case d.CIDR != nil:
		return slices.Contains(d.CIDR.Ports, https)
	}
	return slices.Contains(d.Ports, https)
}

// portsField names the field in which a destination other than a host says its ports.
func portsField(d *v1alpha1.Destination) string {
	switch {
	case d.Service != nil:
		return "service.port"
	case d.CIDR != nil:
		return "cidr.ports"
	}
	return "ports"
}
