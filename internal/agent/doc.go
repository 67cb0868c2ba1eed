// Package agent makes the parts of one node's agent, connects them, and owns the order in which they start and stop.
//
// It decides nothing itself: policy comes from subscribe, what becomes of a call from call, and so on. It must not import the manager's
// packages.
package agent
