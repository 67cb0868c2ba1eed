// Package mechanism is the seam between capture and what makes the kernel redirect connections: nftables today.
//
// Capture says, by an Intent per pod, what is to be redirected to which listener, and a mechanism does it. A mechanism must not open
// listeners, serve connections, know pods or policies, or touch the host's network namespace. What is the same for all mechanisms
// (listeners, counting connections older than their policy, knowing whether a client is still there) is capture's.
//
// # A second mechanism
//
// A hook on connect(2) by eBPF fits like this. Attach looks up the namespace's cookie. Install and TakeOver fill maps for the cookie
// and switch to them by one update; the maps are pinned, name their owner and the port, which is what Found, Intact and ErrSuperseded
// come from. The hook writes the listener's address into the call and remembers the socket's destination by its cookie; Original reads
// it, and ClientSocket says that the client's socket goes to the listener. Nothing is translated, so Busy is always 0, there is nothing
// to forget or restore, and Renew only looks whether the maps are the agent's. Yield and Renew clear and set the pod's flag. Heartbeat
// is one map entry for the whole node, written every 50 ms; a hook that finds it older than the lease lets connections go direct,
// unless the pod fails closed.
package mechanism
