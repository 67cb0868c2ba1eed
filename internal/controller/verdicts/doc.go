// Package verdicts decides when a breaker that all nodes of the cluster share opens and closes (circuitBreaker.sharing: Cluster).
//
// It is pure: it is given the time and what nodes report, and says what each is to do. docs/guides/breakers.md states the rules for users.
package verdicts
