// Package grpc runs suites of other people's making for gRPC in a pod whose calls are captured, beside the same suites in one whose calls are
// not: the interoperability tests of gRPC (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md), and those of
// connectrpc.com/conformance. Each case must end governed as it ends directly: in the clear, where the agent speaks TLS for the pod, and where
// it ends the pod's own TLS.
//
// It is a module of its own, since the suites bring dependencies along that the agent does without.
package grpc
