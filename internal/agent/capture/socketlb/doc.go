// Package socketlb finds out whether the node translates the addresses of Services when a socket connects (socket load balancing, as Cilium
// and Calico do with eBPF programs on cgroups). Where it does, captured connections have the addresses of endpoints alone, never those of
// Services.
//
// It asks the kernel what becomes of a connect to a Service, rather than for the programs that are there: which they are, and what they do,
// differs between implementations. It must not send packets, and knows nothing of policies.
package socketlb
