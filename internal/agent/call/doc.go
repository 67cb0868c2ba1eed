// Package call is the foreman: one call's life, from request head to final response, as a state machine.
//
// A Call is told what happened, each time with the time it happened at, and answers with what to do next. It must not hold a
// socket, timer, goroutine, lock or clock, must not log or count, and must not assume that a goroutine belongs to a call:
// HTTP/1.1's blocking driver, a multiplexing HTTP/2 driver and the simulator in the tests all drive the same machine.
package call
