package policy

import (
	"cmp"
	"net/netip"
)

// MaxFlows bounds Report.Flows.
const MaxFlows = 256

// Flow is what one caller called in the time of a report, as an inventory of calls has it.
type Flow struct {
	// Caller is who; the zero Caller with an empty Destination: all that are not counted apart.
	Caller Caller
	// Policy is what governs the calls, or looks at them, Target its destination as Target.String shows it.
	Policy ID
	Target string
	// Destination is the concrete one: "namespace/name:port" of a Service, "host:port", or "address:port".
	Destination string
	// Address is where the last call was sent, if that is not clear from Destination: under any and blocks.
	Address  netip.AddrPort
	Protocol FlowProtocol
	Counts   FlowCounts
	// Latency is that of calls to the heads of their responses, of connections that are passed through that of making them.
	Latency Latency
}

// FlowCounts are the events of a flow.
type FlowCounts struct {
	// Calls ended; Successes are those of them that ended well. Retries are attempts.
	Calls, Successes, Retries uint64
}

// Other reports whether f is the sum of what is not counted apart.
func (f *Flow) Other() bool { return f.Destination == "" }

// Compare orders flows by what they are about.
func (f *Flow) Compare(o *Flow) int {
	return cmp.Or(cmp.Compare(f.Caller.Namespace, o.Caller.Namespace), cmp.Compare(f.Caller.Workload, o.Caller.Workload),
		cmp.Compare(f.Destination, o.Destination), cmp.Compare(f.Protocol, o.Protocol), f.Policy.Compare(o.Policy), cmp.Compare(f.Target, o.Target))
}

// Plus returns the sums of c and o.
func (c FlowCounts) Plus(o FlowCounts) FlowCounts {
	return FlowCounts{Calls: c.Calls + o.Calls, Successes: c.Successes + o.Successes, Retries: c.Retries + o.Retries}
}

// Add adds what o has counted to f.
func (f *Flow) Add(o *Flow) {
	f.Counts = f.Counts.Plus(o.Counts)
	f.Latency.Add(&o.Latency)
}

// FlowProtocol is what calls were made over, as far as it is known.
type FlowProtocol uint8

// The protocols.
const (
	// FlowTCP: connections that are passed through without being understood.
	FlowTCP FlowProtocol = iota
	// FlowTLS: connections that are passed through, of TLS with the name of a server.
	FlowTLS
	// FlowHTTP: calls of HTTP.
	FlowHTTP
	// FlowGRPC: calls of gRPC.
	FlowGRPC
	// FlowProtocolCount is the number of protocols.
	FlowProtocolCount
)

var flowProtocolNames = []string{FlowTCP: "TCP", FlowTLS: "TLS", FlowHTTP: "HTTP", FlowGRPC: "gRPC"}

func (p FlowProtocol) String() string { return nameOf(flowProtocolNames, p) }
