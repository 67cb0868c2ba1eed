// Package upstream chooses the endpoint that a call goes to, keeps the connections to it, and bounds how many connections there are
// and how many calls wait for one.
//
// A Cluster is one destination of one policy, for all pods of the node: its Hosts, and how to choose among them. A Pool holds the
// connections of one pod to a Cluster, for they are made inside the pod's network namespace; limits are those of a pool.
//
// What is known of an endpoint's health is divided so that no pod costs another one its calls:
//   - shared by the node, on the Host: the calls under way, and failures (resets, responses of 5xx and 429, refused connects) of calls
//     that were balanced. They weigh when hosts are compared and never leave one out;
//   - of each pool: that its pod cannot connect to a host, which may be the doing of a NetworkPolicy that concerns that pod alone.
//     Such an outlier is ejected by that pool: left out, as long as there are others, until it is found to be back.
//
// Where a cluster stands for a host name, the client has chosen one of the name's addresses, which comes first. The others are known only
// after somebody has asked for them (Cluster.SetName), and are used for what follows a failure.
//
// A pool never blocks, but for Dial and DialNamed: waiting is its caller's business. The latter connects to a second address in a goroutine of its
// own, if the first one is slow, and returns when that has ended; a pool starts no others. System calls are made outside its lock. It knows
// no protocol: what is to be agreed on a new connection, with a proxy or for security, is agreed by who implements Proxy and Security.
// The package must not import capture: sockets come through a Dialer.
package upstream
