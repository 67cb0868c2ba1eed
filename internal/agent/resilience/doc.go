// Package resilience holds what decides about calls beside a call's own state: circuit breaker, retry budget, backoff, Retry-After and replay accounting.
//
// Each is a small state machine that is given the time. The package must not read clocks, sleep, log, count metrics, start
// goroutines or open sockets, and nothing on the path of a call allocates. Instruments are shared by all calls of a
// destination: their methods may be called from any number of goroutines at once.
package resilience
