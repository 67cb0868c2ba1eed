package mechanism

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// ErrSuperseded says that another agent redirects in the namespace now: nothing was changed, and only TakeOver can change it.
var ErrSuperseded = errors.New("another agent has taken over")

// Settings are the same in all namespaces.
type Settings struct {
	// Agent names this agent's run; no other run has had the same. Up to 64 letters and digits.
	Agent string
	// Mark is on the packets of the agent's own connections, which are left alone.
	Mark uint32
	// Lease is how long the kernel goes on redirecting without a sign of the agent's life.
	Lease time.Duration
}

// New makes a mechanism, starting nothing. There is one per agent.
type New func(Settings) (Interface, error)

// Interface makes the kernel redirect.
type Interface interface {
	// Attach prepares redirecting in a namespace. It changes nothing there, and needs no descriptor for longer than the call.
	Attach(ns *netns.Namespace) (Attachment, error)
	// Heartbeat is how the agent renews the leases of all attachments at once. The zero Heartbeat says that there
	// is none: attachments hold leases of their own.
	Heartbeat() Heartbeat
}

// Heartbeat is given by calling Beat every Interval, from one goroutine, for as long as the agent serves any connection.
type Heartbeat struct {
	Interval time.Duration
	Beat     func() error
}

// Intent is what is wanted in one namespace.
type Intent struct {
	Redirect intent.Redirect
	// Port is where the agent listens on 127.0.0.1, unless NoIPv4 is set, and on ::1, if IPv6 is set.
	Port         uint16
	IPv6, NoIPv4 bool
}

// Connection is a redirected connection as its caller sees it: where it comes from, and where it was on its way to.
type Connection struct{ From, To netip.AddrPort }

// Health is what was noticed by the way.
type Health struct {
	// Disturbed says that somebody else may have changed what was installed since Intact found it whole.
	Disturbed bool
	// Forgotten says that the kernel does not know the sample as a redirected connection any more.
	Forgotten bool
}

// Attachment redirects in one namespace. It is used by one goroutine at a time, but for Original and ClientSocket, and for Renew, which
// whoever renews leases may call beside the others.
type Attachment interface {
	// Found is the port to which connections are redirected now, by whichever agent, or 0.
	Found() (uint16, error)
	// Install makes the kernel redirect, as long as the lease lasts; saying the same again changes nothing. Either all is changed or
	// nothing. It fails with ErrSuperseded once another agent's TakeOver came after this one's.
	Install(Intent) error
	// TakeOver is Install, whoever redirected before.
	TakeOver(Intent) error
	// StopRedirect ends redirecting without harm to connections that were redirected.
	StopRedirect() error
	// Busy counts what still needs what StopRedirect left in place, and Remove takes that away.
	Busy() (int, error)
	Remove() error
	// Close frees what the attachment holds, changing nothing in the namespace.
	Close() error

	// Renew starts a lease, or another one, and reports what was noticed. sample is a redirected connection, if there is one.
	Renew(sample Connection) (Health, error)
	// Yield ends the lease at once: new connections go direct until the next Renew, unless the pod fails closed.
	Yield() error
	// Leased reports whether there is a lease, of whichever agent.
	Leased() (bool, error)
	// Intact reports whether what was installed is still as it was written. It fails with ErrSuperseded when another agent has written it.
	Intact() (bool, error)
	// Restore has the kernel know redirected connections again, and reports how many it had forgotten.
	Restore(all []Connection) (int, error)
	// QUIC counts the new flows of UDP to intent.QUICPort that went out although some of what is redirected could go there too, by whatever
	// has counted since the attachment was made in the namespace, perhaps another agent. It starts anew with what is installed anew.
	QUIC() (flows uint64, err error)
	// Foreign names what others have in the namespace that takes connections before they come to the agent.
	Foreign() ([]string, error)

	// Original is where a connection that a listener has accepted at an address was on its way to: that address if it was not redirected.
	// Any goroutine may ask at any time.
	Original(conn syscall.Conn, at netip.AddrPort) (netip.AddrPort, error)
	// ClientSocket is a redirected connection's client socket by the two addresses that its owner sees. Any goroutine may ask at any time.
	ClientSocket(c Connection) (local, remote netip.AddrPort)
}
