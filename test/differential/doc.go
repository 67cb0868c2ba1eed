// Package differential holds rule 0: a call that works without fairlead works the same under a policy that asks for nothing but its
// destination. Every scenario is played twice in the same network namespaces, direct and governed, and everything that the two ends
// can observe is compared. It must not look into the agent: what no client and no server sees is none of its business.
package differential
