package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// A driver is a part of the agent, or of the whole, that a field concerns.
const (
	// http1 carries HTTP/1.1 calls.
	http1 = "http1"
	// opaque carries connections that are passed through.
	opaque = "opaque"
	// http2 carries HTTP/2 calls.
	http2 = "http2"
	// grpc carries gRPC calls, over HTTP/2.
	grpc = "grpc"
	// originate and intercept carry the calls of the others over TLS: between the agent and the host, or from the pod on.
	originate = "originate"
	intercept = "intercept"
	// agent is everything else: what a field decides is not about the course of a call.
	agent = "agent"
)

// dropping are the drivers whose tests are run without each field.
var dropping = []string{http1, http2, opaque, grpc, originate, intercept}

// overTLS are the drivers whose calls are those of the others, inside TLS: whatever field concerns the others concerns them. The tests of the
// others are run again over TLS, as long as nothing is said against it (//notover:driver why), and hold the field there too.
var overTLS = []string{originate, intercept}

// inside are the drivers that carry calls inside TLS.
var inside = []string{http1, http2, grpc}

// concerns says which drivers a field concerns: the first entry that is the field, or a block above it, holds.
var concerns = []struct {
	field   string
	drivers []string
}{
	{"timeouts.tlsHandshake", []string{originate, intercept}},
	{"timeouts.responseHeader", []string{http1, http2, grpc}},
	{"timeouts.read", []string{http1, http2, grpc}},
	{"timeouts.write", []string{http1, http2, grpc}},
	{"timeouts.adaptive.mode", []string{agent}}, // what is merged
	{"timeouts", []string{http1, http2, grpc, opaque}},
	{"retry.statusCodes", []string{http1, http2, grpc}},
	{"retry.responseHeaders", []string{http1, http2, grpc}},
	{"retry.overrides[].statusCodes", []string{http1, http2, grpc}},
	{"retry.overrides[].grpcStatuses", []string{grpc}},
	{"retry.grpcStatuses", []string{grpc}},
	{"retry.retryAfter", []string{http1, http2, grpc}},
	{"retry.idempotency", []string{http1, http2, grpc}},
	{"retry.body", []string{http1, http2, grpc}},
	{"retry.alreadyRetried", []string{http1, http2, grpc}},
	{"retry.hedging", []string{http1, http2, grpc}},
	{"retry", []string{http1, http2, grpc, opaque}},
	{"connectionPool.http2", []string{http2, grpc}},
	{"connectionPool.maxIdlePerEndpoint", []string{http1, http2, grpc}},
	{"connectionPool.idleTimeout", []string{http1, http2, grpc}},
	{"connectionPool.maxLifetime", []string{http1, http2, grpc}},
	{"connectionPool.maxRequestsPerConnection", []string{http1, http2, grpc}},
	{"connectionPool", []string{http1, http2, grpc, opaque}},
	{"circuitBreaker.mode", []string{agent}}, // what is merged: agents know breakers only
	{"circuitBreaker.failures.statusCodes", []string{http1, http2, grpc}},
	{"circuitBreaker.failures.grpcStatuses", []string{grpc}},
	{"circuitBreaker.open.jitterPercent", []string{http1, http2, grpc}}, // the breaker draws it itself, whatever is asked of it
	{"circuitBreaker", []string{http1, http2, grpc, opaque}},
	{"rateLimit.mode", []string{agent}}, // what is merged: agents know limits only
	{"rateLimit", []string{http1, http2, grpc, opaque}},
	{"concurrency.mode", []string{agent}},
	{"concurrency", []string{http1, http2, grpc}},
	{"loadBalancing", []string{http1, http2, grpc, opaque}},
	{"fallback.mode", []string{agent}},                 // what is merged
	{"fallback.response.body", []string{http1, http2}}, // an answer to gRPC is its trailers
	{"fallback.response", []string{http1, http2, grpc}},
	{"fallback.destination.service.namespace", []string{agent}}, // what is compiled
	{"fallback", []string{http1, http2, grpc, opaque}},
	{"faults.mode", []string{agent}}, // what is merged
	{"faults.abort.statusCode", []string{http1, http2, grpc}},
	{"faults.abort.grpcStatus", []string{grpc}},
	{"faults", []string{http1, http2, grpc, opaque}},
	{"rules[].match[].grpc", []string{grpc}},
	{"rules[]", []string{http1, http2, grpc}},
	{"to[].protocol", []string{http1, http2, grpc, opaque}},
	{"to[].tls.mode", []string{agent, originate, intercept}},
	{"to[].tls.caBundleRef.kind", []string{agent}}, // what is read: agents know roots by a name
	{"to[].tls.caBundleRef.key", []string{agent}},
	{"to[].tls.passthroughAfter", []string{intercept}},
	{"to[].tls.port", []string{originate}},
	{"to[].tls", []string{originate, intercept}},
	{"to[].via.proxy", []string{http1, http2, grpc, opaque}},
	{"to[]", []string{agent}}, // which connections are governed
	{"mode", []string{agent}},
	{"podSelector", []string{agent}},
	{"rollout", []string{agent}},
	{"udp443", []string{agent}},
	{"namespaceSelector", []string{agent}},
	{"failurePolicy", []string{agent}},
	{"observability.tracing", []string{http1, http2, grpc}},
	{"observability.requestHeaders", []string{http1, http2, grpc}},
	{"observability", []string{agent}},
}

func driversOf(field string) []string {
	for _, c := range concerns {
		if field == c.field || strings.HasPrefix(field, c.field+".") || strings.HasPrefix(field, c.field+"[]") ||
			strings.HasSuffix(c.field, "[]") && strings.HasPrefix(field, c.field) {
			return c.drivers
		}
	}
	return nil
}

// row is one field in one driver, and the tests that hold it there.
type row struct {
	field, driver string
	// carries is the driver whose tests are run over TLS; empty: they are declared for this one.
	carries string
	tests   []declared
}

// table has a row for every enforced field in every driver that it concerns. An error says what is missing or amiss.
func table(fields []compile.Field, tests []declared) ([]row, error) {
	var errs []error
	known := map[string]bool{} // by field and driver
	var rows []row
	for _, f := range fields {
		drivers := driversOf(f.Path)
		if len(drivers) == 0 {
			errs = append(errs, fmt.Errorf("%s is enforced, and concerns no driver: enter it in hack/enforcement/table.go", f.Path))
		}
		for _, d := range drivers {
			r := row{field: f.Path, driver: d}
			known[f.Path+" "+d] = true
			for _, t := range tests {
				if t.field == r.field && t.driver == d {
					r.tests = append(r.tests, t)
				}
			}
			if len(r.tests) == 0 {
				errs = append(errs, fmt.Errorf("%s is enforced and no test is declared for it in the driver %s", f.Path, d))
			}
			rows = append(rows, r)
		}
		over, amiss := overRows(f, drivers, tests)
		rows, errs = append(rows, over...), append(errs, amiss...)
		for _, r := range over {
			known[f.Path+" "+r.driver] = true
		}
	}
	return rows, errors.Join(append(errs, check(known, tests)...)...)
}

// overRows has the rows of a field over TLS: for each driver that carries its calls inside, or else of tests that are declared for TLS.
func overRows(f compile.Field, drivers []string, tests []declared) (rows []row, errs []error) {
	for _, mode := range overTLS {
		if slices.Contains(drivers, mode) || !onSecured(f, drivers) {
			continue
		}
		own := row{field: f.Path, driver: mode}
		for _, t := range tests {
			if t.field == f.Path && t.driver == mode {
				own.tests = append(own.tests, t)
			}
		}
		for _, carried := range inside {
			if !slices.Contains(drivers, carried) {
				continue
			}
			r := row{field: f.Path, driver: mode, carries: carried}
			for _, t := range tests {
				if t.field == f.Path && t.driver == carried && !slices.Contains(t.notOver, mode) {
					r.tests = append(r.tests, t)
				}
			}
			switch {
			case len(r.tests) > 0:
				rows = append(rows, r)
			case len(own.tests) == 0:
				errs = append(errs, fmt.Errorf("%s is enforced over TLS too, and no test of the driver %s can be run over %s: declare one for it", f.Path, carried, mode))
			}
		}
		if len(own.tests) > 0 {
			rows = append(rows, own)
		}
	}
	return rows, errs
}

// check finds what is amiss with the declarations themselves.
func check(known map[string]bool, tests []declared) (errs []error) {
	seen := map[string]string{}
	for _, t := range tests {
		if t.field == "" {
			if !slices.Contains(overTLS, t.driver) || t.folder != harness {
				errs = append(errs, fmt.Errorf("%s: %s is to be run over %s: only tests of %s can be, over %v", t.folder, t.name, t.driver, harness, overTLS))
			}
			continue
		}
		if !known[t.field+" "+t.driver] {
			errs = append(errs, fmt.Errorf("%s: %s is declared for %s, which is no enforced field of the driver %s", t.folder, t.name, t.field, t.driver))
		}
		// If it failed without the field nobody would know in which driver.
		key := t.folder + " " + t.name + " " + t.field
		if other, found := seen[key]; found {
			errs = append(errs, fmt.Errorf("%s: %s is declared for %s twice (%s, %s)", t.folder, t.name, t.field, other, t.driver))
		}
		seen[key] = t.driver
		if slices.Contains(dropping, t.driver) && t.folder != harness {
			errs = append(errs, fmt.Errorf("%s: %s is declared for the driver %s, but only tests of %s can do without a field", t.folder, t.name, t.driver, harness))
		}
	}
	return errs
}

const introduction = `# Which test holds which field

Generated from the declarations of the tests (` + "`//enforces:driver field …`" + `) by ` + "`go test ./hack/enforcement -update`" + `. Every field that is
[enforced](api.md) has at least one test in each driver that it concerns: ` + "`http1`" + ` carries HTTP/1.1 calls, ` + "`http2`" + ` HTTP/2 calls, ` + "`grpc`" + ` gRPC calls, ` + "`opaque`" + ` carries connections
that are passed through, ` + "`originate` and `intercept`" + ` carry calls over TLS, ` + "`agent`" + ` is everything that is not about the course of a call. ` + "`make test-enforcement`" + `
runs the tests of all but the last without each field, and fails unless one of them does.

The tests of ` + "`http1`, `http2` and `grpc`" + ` hold inside TLS too: ` + "`make test-enforcement`" + ` runs them again with TLS between the agent and the server, and
with TLS from the client on, each time without the field. Only what is held there by other tests has rows of its own below.

| field | driver | tests |
|---|---|---|
`

// page shows the table.
func page(rows []row) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, r := range rows {
		if r.carries != "" {
			continue
		}
		var names []string
		for _, t := range r.tests {
			names = append(names, "`"+t.name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.field, r.driver, strings.Join(names, ", "))
	}
	b.WriteString(exceptions(rows))
	return b.String()
}

// exceptions lists the tests that are not run over TLS.
func exceptions(rows []row) string {
	not := map[string][]string{}
	for _, r := range rows {
		for _, t := range r.tests {
			not[t.name] = t.notOver
		}
	}
	var b strings.Builder
	b.WriteString("\nNot run over TLS:\n\n")
	for _, name := range slices.Sorted(maps.Keys(not)) {
		if len(not[name]) > 0 {
			fmt.Fprintf(&b, "- `%s`: `%s`\n", name, strings.Join(not[name], "`, `"))
		}
	}
	return b.String()
}
