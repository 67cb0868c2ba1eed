// Package front is an explicit HTTP proxy, and a map of ports, in front of the data plane: it finds out where a connection is to go and hands it over
// as if it had been captured on its way there.
//
// It looks at no more than the head of a connection's first request, and decides nothing about the call.
package front
