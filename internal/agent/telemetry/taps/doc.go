// Package taps shows calls while they end, to those who ask for some of them: what a tap wants is decided where the call ends, so that nothing
// travels that nobody wants.
//
// While there is no tap, a call reads one pointer. A tap never holds up a call: what is more than its rate, or than its reader takes, is
// dropped, and how much that was is said with the next line.
package taps
