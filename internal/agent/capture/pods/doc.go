// Package pods knows which pods live on this node and where their network namespaces are, by asking the container runtime.
//
// It must not enter a namespace, know about policies, or ask the API server.
package pods
