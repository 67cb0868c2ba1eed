// Package samples holds no code of its own: its tests compile the policies of config/samples that docs/guides/samples.md explains, have the agent's data plane
// enforce them, and count at the upstream what becomes of calls: each sentence on that page about what is repeated, and how often, has its test here.
package samples
