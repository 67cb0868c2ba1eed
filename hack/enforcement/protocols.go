package main

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// column is a protocol, and which fields act on it. drivers are those that a field concerns.
type column struct {
	name string
	acts func(f compile.Field, drivers []string) bool
}

// columns are the protocols of the page, in its order.
var columns = []column{
	{"HTTP/1.1", inClear(http1)},
	{"HTTP/2", inClear(http2)},
	{"gRPC", inClear(grpc)},
	{"TLS, Originate", inTLS(originate)},
	{"TLS, Intercept", inTLS(intercept)},
	{"TLS, Passthrough", onPassed},
	{"TCP", func(f compile.Field, drivers []string) bool { return onPassed(f, drivers) && !under(f.Path, named) }},
}

var (
	// secured are fields about TLS that the agent speaks.
	secured = []string{"timeouts.tlsHandshake", "to[].tls.port", "to[].tls.sni", "to[].tls.caBundleRef", "to[].tls.clientCertificateRef", "to[].tls.passthroughAfter"}
	// named are fields about destinations by name, which a connection that says none does not come under. TLS needs one.
	named = []string{"to[].host", "to[].via", "to[].tls"}
	// unnamed are the other destinations, to which the agent speaks no TLS, and what chooses among their endpoints.
	unnamed = []string{"to[].service", "to[].cidr", "to[].any", "loadBalancing"}
	// beside are fields that act on none of the protocols, and on what they do.
	beside = map[string]string{"udp443": "QUIC: UDP to port 443 of the policy's destinations"}
)

func under(path string, blocks []string) bool {
	return slices.ContainsFunc(blocks, func(b string) bool {
		return path == b || strings.HasPrefix(path, b+".") || strings.HasPrefix(path, b+"[")
	})
}

// everywhere reports whether a field says which calls are governed, or something else that holds for all protocols.
func everywhere(drivers []string) bool { return slices.Contains(drivers, agent) }

// inClear is what acts on calls that pods make without TLS and that a driver carries.
func inClear(carrier string) func(compile.Field, []string) bool {
	return func(f compile.Field, drivers []string) bool {
		return (slices.Contains(drivers, carrier) || everywhere(drivers)) && !under(f.Path, secured) && f.Path != "to[].tls.mode"
	}
}

// inTLS is what acts on calls inside TLS that the agent speaks, and on that TLS.
func inTLS(mode string) func(compile.Field, []string) bool {
	return func(f compile.Field, drivers []string) bool {
		if slices.Contains(drivers, originate) || slices.Contains(drivers, intercept) {
			return slices.Contains(drivers, mode)
		}
		return onSecured(f, drivers)
	}
}

// onSecured is what acts on one of the protocols inside TLS that the agent speaks.
func onSecured(f compile.Field, drivers []string) bool {
	return !under(f.Path, unnamed) && (everywhere(drivers) || slices.ContainsFunc(inside, func(d string) bool { return slices.Contains(drivers, d) }))
}

// onPassed is what acts on connections that are passed through: what the manager does not report as having no effect there.
func onPassed(f compile.Field, drivers []string) bool {
	if strings.HasPrefix(f.Path, "to[]") {
		return (everywhere(drivers) || slices.Contains(drivers, opaque)) && !under(f.Path, secured)
	}
	return !compile.AboutRequests(f.Path)
}

// protocolRow is a field, or a block whose fields are alike, and what is in its cells.
type protocolRow struct {
	path, values string
	cells        string
}

const (
	acts    = "yes"
	actsNot = "–"
)

func protocolRowOf(f compile.Field) protocolRow {
	r := protocolRow{path: f.Path}
	for i, v := range f.Values {
		if i > 0 {
			r.values += ", "
		}
		r.values += "`" + v + "`"
	}
	drivers := driversOf(f.Path)
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch note, ok := beside[f.Path]; {
		case ok && i == 0:
			cells[i] = note
		case !ok && c.acts(f, drivers):
			cells[i] = acts
		default:
			cells[i] = actsNot
		}
	}
	r.cells = strings.Join(cells, " | ")
	return r
}

// protocolRows has a row for each field, and one for each block whose fields are alike.
func protocolRows(fields []compile.Field) []protocolRow {
	rows := make([]protocolRow, 0, len(fields))
	for _, f := range fields {
		rows = append(rows, protocolRowOf(f))
	}
	return fold(rows, 1)
}

// fold makes one row of those that have the first so many parts of their paths in common and are alike.
func fold(rows []protocolRow, parts int) (out []protocolRow) {
	for len(rows) > 0 {
		block := upTo(rows[0].path, parts)
		n := slices.IndexFunc(rows, func(r protocolRow) bool { return upTo(r.path, parts) != block })
		if n < 0 {
			n = len(rows)
		}
		group := rows[:n]
		rows = rows[n:]
		alike := !slices.ContainsFunc(group, func(r protocolRow) bool { return r.values != "" || r.cells != group[0].cells })
		switch {
		case n == 1:
			out = append(out, group[0])
		case alike:
			out = append(out, protocolRow{path: block, cells: group[0].cells})
		default:
			out = append(out, fold(group, parts+1)...)
		}
	}
	return out
}

// upTo is the first so many parts of a path.
func upTo(path string, parts int) string {
	all := strings.Split(path, ".")
	return strings.Join(all[:min(parts, len(all))], ".")
}

const protocolsIntroduction = `# Which field acts on which protocol

Generated by ` + "`go test ./hack/enforcement -update`" + ` from what the manager enforces and from what [tests hold](../reference/enforcement.md). A block stands for
everything in it. Fields in ` + "`rules`" + `, and below a ClusterRetryPolicy's ` + "`defaults` and `overrides`" + `, are those without that prefix; where a field has several
values and agents do not act on all of them, those are named on which they do.

- **HTTP/1.1**, **HTTP/2** and **gRPC**: calls that pods make without TLS, found out or declared. gRPC is carried by HTTP/2; [grpc.md](../guides/grpc.md) says how its
  calls differ.
- **TLS, Originate**: the same calls where the agent speaks TLS to the host. What acts is what acts on the protocol inside, whose tests are run again there; [tls.md](../guides/tls.md).
- **TLS, Intercept**: the same calls where pods speak TLS to the host and the agent ends it, with a certificate of its own, and speaks TLS to the host.
- **TLS, Passthrough**: TLS that pods speak, which is passed through. Each connection is one call.
- **TCP**: everything else, and what is declared to be ` + "`TCP`" + `. Each connection is one call, too.

Where connections are passed through, a policy that sets a field about requests says so in ` + "`status.destinations[].notEnforced`" + `, with the reason.
Where all destinations are declared to speak HTTP/1.1 (` + "`protocol: HTTP`" + `), one that sets a field of HTTP/2 or gRPC is accepted with a warning (` + "`AcceptedWithWarnings`" + `).

`

// protocolsPage shows the table.
func protocolsPage(fields []compile.Field) string {
	var b strings.Builder
	b.WriteString(protocolsIntroduction)
	b.WriteString("| field |")
	for _, c := range columns {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(columns)+1) + "\n")
	for _, r := range protocolRows(fields) {
		name := "`" + r.path + "`"
		if r.values != "" {
			name += ": " + r.values
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, r.cells)
	}
	return b.String()
}
