//go:build !race

package differential

// slower is by how much the race detector lets times differ more.
const slower = 1
