// Package call decides one call's life, from the request head to the end of the response, as a state machine without I/O.
//
// A Call gets an event for what happened, with the time it happened at, and answers with what to do next. It must not hold a
// socket, timer, goroutine, lock or clock, must not log or count, and must not assume that a goroutine belongs to a call:
// HTTP/1.1's blocking driver, a multiplexing HTTP/2 driver and the simulator in the tests all drive the same machine.
//
// Rules that comments name by number, here and elsewhere, are those of docs/reference/rules.md.
package call
