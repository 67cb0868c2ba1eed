//go:build race

package differential

// slower is by how much the race detector, which the agent has here and most clients have not, lets times differ more.
const slower = 4
