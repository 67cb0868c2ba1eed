// Package turns divides the processors among the pods of a node, so that one that floods the agent with calls does not make those of the others slow. It
// knows nothing of what the steps of a pod do.
package turns
