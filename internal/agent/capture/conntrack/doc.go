// Package conntrack asks the kernel's connection tracker about a network namespace's connections, and has it forget some or know them
// again.
//
// It must not write rules: those that translate connections are nft's.
package conntrack
