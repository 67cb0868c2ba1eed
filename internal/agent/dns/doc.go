// Package dns looks up the addresses of host names in the DNS that the agent's own pod is given, which is the cluster's.
//
// A pod's own view of names (its resolv.conf, its hosts file) cannot be seen from here, so what is found is never more than a suggestion:
// who uses it decides whether it fits what the pod itself has found. Names are taken as absolute ones: there are no search domains.
//
// Everything is bounded: the names that are kept, the look-ups under way, the addresses of a name, how long an answer is believed, and how
// long a look-up takes. A name is looked up once at a time, whoever asks for it. The package must not know policies or pods.
package dns
