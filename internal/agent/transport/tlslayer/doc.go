// Package tlslayer is TLS as a transport.Layer: Client does the handshake with a server and verifies it, Accept does it with a client; Layer
// carries what follows.
//
// It uses crypto/tls on a socket that never waits. crypto/tls goes on reading after errors that call themselves temporary, which EAGAIN
// does, but it takes what a write leaves over for lost; so records that the socket does not take are kept until it does.
//
// A server is always verified: there is no way to say otherwise. The package must not know HTTP, policy or pools, and must not choose
// what is connected to.
package tlslayer
