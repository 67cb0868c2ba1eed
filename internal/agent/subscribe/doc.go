// Package subscribe is the agent's client of the manager: it receives policy, has it applied, and only then acknowledges it.
//
// It keeps the last good set on disk and starts from it, so an agent enforces policy whether or not the manager can be reached.
// Reports of what happened go out on a second stream.
//
// It must not interpret policy: what a profile means is the Applier's business.
package subscribe
