// Package e2e holds the specs that must come true on a real cluster: real pods on several nodes, the manager and the agents
// as users install them. It runs against the cluster KUBECONFIG names (make e2e).
package e2e
