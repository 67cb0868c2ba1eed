// Package capture opens the doors of pods: for every pod that policies select it places listeners and redirect rules inside
// the pod's network namespace, keeps the lease under which the kernel honours them, and hands what it accepts to a Handler.
//
// It must not look into connections, decide what a policy means, or touch the host's network namespace. The mechanism that
// redirects stands behind the Mechanism interface; nftables is the one there is.
//
// # The life of a door
//
// Pod start: the sandbox has its network namespace before any container starts, and is found there within tens of
// milliseconds. Nothing holds the containers back, so a call made in that gap goes direct.
//
// Policy edit: the rules change in one transaction. Connections that are open stay with whoever carries them.
//
// Last policy removed: new connections go direct at once; those that were captured go on to their end, for which the kernel must
// go on tracking them, so an empty table stays until the last of them has delivered everything. Then nothing is left.
//
// Pod end: listeners, connections, descriptors and goroutines go at once, and with them the namespace.
//
// Agent stop: as when the last policy is removed, for every pod, unless another agent has taken the pod over. Open connections may take
// Options.Grace to end, then they are reset, all at once. Pods that fail closed are served as long as there are connections of others, and
// keep their rules when the agent goes, so their new connections are refused until an agent is back: to uninstall, remove the policies first.
//
// Agent upgrade: the young agent listens on the same port (the table says which), from where the kernel sends it all new
// connections, and takes the table over. The table names its owner, and every change is made in one transaction with the
// assertion that the owner is still the same; so the old agent, when told to stop, cannot take away what is not its own any more:
// it accepts what is in its queues and serves what it has. Should the young agent die while the old one is there, the lease runs
// out and the old one takes the table back.
//
// Agent killed: the kernel refuses new connections until the lease is over, three seconds at most, and then lets them go direct,
// or goes on refusing them for pods that fail closed. The next agent takes over what it finds, and cleans up in pods that no
// policy selects any more.
//
// Overload: beyond Options.MaxConnections, close to its limit of memory, or out of descriptors or memory, the agent gives up its leases, and
// new connections go direct until it has recovered, except in pods that fail closed, whose connections wait.
//
// Tampering: whoever renews a lease notices that somebody else has changed rules in the pod; the door then compares its own and writes them anew if
// need be. Connections that the kernel was made to forget are made known again. Neither is told as a problem for longer than it lasts, but for
// some minutes as a notice.
//
// Another proxy in the pod: what that takes is its own, and what it sends is captured. The agent's own connections are out of its reach.
package capture
