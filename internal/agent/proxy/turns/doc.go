// Package turns divides the processors among the pods of a node, so that one that floods the agent with calls does not make those of the others slow: what a
// pod's connections were waited for goes on in steps, of which each pod takes a few in a round (docs/architecture.md). It knows nothing of what the steps of a
// pod do.
package turns
