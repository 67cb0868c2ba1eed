package drive

import "net/netip"

// Refused is a request that was refused for breaking its protocol.
type Refused struct {
	Pod      string // UID
	Original netip.AddrPort
	Status   int
	// Reason is one of a closed set of sentences, which never quote the request.
	Reason string
	// Method, Host and Path are the request's if its head could be read. They are valid during the call that reports it.
	Method, Host, Path []byte
}
