// Package egress is the authority that pods trust whose TLS is intercepted. Agents show pods certificates for the hosts that these call, signed
// by an issuer that each node gets from here: its life is short, and it is good for the hosts alone that the node's policies name. The
// authority's own key never leaves the manager.
//
// The authority is kept in a Secret, made when it is first needed and given a successor long before its end; or it is a user's own, which is
// read and never written. Its certificates are published as a ClusterTrustBundle, where the cluster has that, and as a ConfigMap in the
// namespaces that ask for it.
//
// It must not know about streams or policies, and must log nothing of a key.
package egress
