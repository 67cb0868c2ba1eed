// Command study simulates what callers' policies do to an upstream that is offered more than it can serve, in simulated time: calls are decided by the
// agent's own call state machine and instruments and by the manager's divider of shares, against a model of an upstream and of a load. It writes what it
// has seen into docs. It has no clock and opens no sockets, and the same seed gives the same bytes.
package main
