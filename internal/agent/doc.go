// Package agent is the workshop: it makes the rooms of one node's agent, connects them, and owns the order in which they start
// and stop.
//
// It decides nothing itself: policy comes from subscribe, rules of a call from call, and so on. It must not import the manager's
// rooms.
package agent
