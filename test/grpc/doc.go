// Package grpc runs suites of other people's making for gRPC through the proxy, beside the same suites without it: the interoperability
// tests of gRPC (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md), and those of connectrpc.com/conformance.
// What passes directly passes governed too.
//
// It is a module of its own, since the suites bring dependencies along that the agent does without.
package grpc
