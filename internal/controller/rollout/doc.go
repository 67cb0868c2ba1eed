// Package rollout decides how a change of a policy comes to the nodes: which get it first, for how long it is observed there, and whether it
// then comes to all or is taken back. It is pure: it is given the time, and what is known of nodes and calls.
package rollout
