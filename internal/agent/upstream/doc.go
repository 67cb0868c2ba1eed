// Package upstream is the loading dock: it keeps connections to the places calls go to, chooses among endpoints, and bounds
// how many connections there are and how many calls wait for one.
//
// A pool never sleeps, starts goroutines or knows HTTP: waiting is its caller's business, and system calls are made outside
// its lock. It must not import capture: sockets come through a Dialer.
package upstream
