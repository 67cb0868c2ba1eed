// Package telemetry counts what happens on this agent and exposes it as Prometheus metrics, access log lines and reports to the
// manager.
//
// Everything is counted once, in plain sharded counters whose handles are resolved when a policy is installed; metrics and
// reports are made from the same numbers. Counting must not look anything up, take a lock, allocate or block, and no label
// comes from traffic. The package decides nothing, and the path of a call never waits for it.
package telemetry
