// Package telemetry is the meters on the wall: what happened on this agent, as Prometheus metrics, access log lines and reports
// to the manager.
//
// Everything is counted once, in plain sharded counters whose handles are resolved when a policy is installed; metrics and
// reports are drawn from the same numbers. Counting must not look anything up, take a lock, allocate or block, and no label
// comes from traffic. The package decides nothing and must not be asked anything by the path of a call.
package telemetry
