// Package kube is how commands of kubectl fairlead reach a cluster: by kubectl's flags, contexts and auth plugins, with the rights of who runs them.
//
// It must not widen rights or listen: what runs in the cluster is reached by requests to the API server, the loopback ports of pods by its
// portforward subresource.
package kube
