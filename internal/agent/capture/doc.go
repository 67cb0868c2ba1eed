// Package capture brings the connections of pods to the agent: for every pod that policies select it opens listeners inside the pod's
// network namespace, has a mechanism redirect to them what the policies name, keeps the lease under which the kernel does so, and hands
// what it accepts to a Handler.
//
// It must not look into connections, decide what a policy means, or touch the host's network namespace. What redirects stands behind
// package mechanism; what is to be redirected is said by package intent.
//
// # The life of a pod's capture
//
// Pod start: the sandbox has its network namespace before any container starts, and is found there within tens of
// milliseconds. Nothing holds the containers back, so a call made in that gap goes direct.
//
// Policy edit: what is redirected changes all at once. Connections that are open stay with whoever carries them.
//
// Last policy removed: new connections go direct at once; those that were captured go on to their end, and what the mechanism needs
// for them stays until the last of them has delivered everything. Then nothing is left.
//
// Pod end: listeners, connections, descriptors and goroutines go at once, and with them the namespace.
//
// Agent stop: as when the last policy is removed, for every pod, unless another agent has taken the pod over. Open connections may take
// Options.Grace to end, then they are reset, all at once. Pods that fail closed are served as long as there are connections of others, and
// stay redirected when the agent goes, so their new connections are refused until an agent is back: to uninstall, remove the policies first.
//
// Agent upgrade: the new agent listens on the same port (which the mechanism finds), from where the kernel sends it all new
// connections, and takes the redirecting over. What redirects names its owner, and every change is made only if that is still the
// same; so the old agent, when it stops, cannot take away what is not its own any more: it accepts what is in its queues and serves
// what it has. Should the new agent die while the old one is there, the lease runs out and the old one takes over again.
//
// Agent killed: the kernel refuses new connections until the lease is over, three seconds at most, and then lets them go direct,
// or goes on refusing them for pods that fail closed. The next agent takes over what it finds, and cleans up in pods that no
// policy selects any more.
//
// Overload: beyond Options.MaxConnections, close to its limit of memory, or out of descriptors or memory, the agent gives up its leases, and
// new connections go direct until it has recovered, except in pods that fail closed, whose connections wait.
//
// Tampering: whoever renews a lease notices that somebody else has changed rules in the pod; they are compared then, and written anew if
// need be. Connections that the kernel was made to forget are made known again. Neither is reported as a problem for longer than it
// lasts, but for some minutes as a notice.
//
// Another proxy in the pod: what that takes is its own, and what it sends is captured. The agent's own connections are out of its reach.
package capture
