// Package wire is the protocol between manager and agents: its messages, and the translation of compiled policy to and from
// protobuf. It is the only package that touches the fields of generated messages; the rules of the protocol are written in
// proto/distribution.proto.
//
// It must not decide who gets what, keep state, or trust a byte it decodes: whatever comes from the network is bounded and
// refused with an error, never with a panic.
package wire
