// Package e2e holds the specs that must come true on a real cluster: real pods on several nodes, the manager and the agents
// as users install them. It runs against the cluster KUBECONFIG names (make e2e).
//
// Where the docs show a manifest or a command for something, specs apply that very one (sample_test.go).
//
// Clients and servers of other people's making (programs_test.go) run from the nodes' own file systems, which pods mount: no image holds them. Where
// nodes lack them those specs are not run, which is a failure with REQUIRE_PRIVILEGED=1.
package e2e
