package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Hash places a node for the rollouts of a policy, so that which nodes get a change first depends on neither who leads nor which nodes there
// are, and differs between policies.
func Hash(policyUID, node string) uint32 {
	sum := sha256.Sum256([]byte(policyUID + "/" + node))
	return binary.BigEndian.Uint32(sum[:4])
}

// Boundary returns the highest hash of the share of nodes that get a change first: at least one node does, and, unless the share is all, one at
// least does not, if there are two. There must be a node.
func Boundary(policyUID string, nodes []string, percent int32) uint32 {
	hashes := make([]uint32, len(nodes))
	for i, node := range nodes {
		hashes[i] = Hash(policyUID, node)
	}
	slices.Sort(hashes)
	n := (len(nodes)*int(percent) + 99) / 100
	if percent < 100 {
		n = min(n, len(nodes)-1)
	}
	return hashes[max(n, 1)-1]
}

// count returns how many of the nodes are within the boundary.
func count(policyUID string, nodes []string, boundary uint32) int {
	n := 0
	for _, node := range nodes {
		if Hash(policyUID, node) <= boundary {
			n++
		}
	}
	return n
}
