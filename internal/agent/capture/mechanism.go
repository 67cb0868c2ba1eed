package capture

import (
	"net"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// Mechanism makes the kernel redirect. There is one per agent.
type Mechanism interface {
	// PortInUse is the port to which connections in ns are redirected now, by whichever agent, or 0.
	PortInUse(ns *netns.Namespace) (uint16, error)
	// Open prepares redirecting in ns without changing anything.
	Open(ns *netns.Namespace, o MechanismOptions) (Redirector, error)
	// Original is where a redirected connection was on its way to: the listener's own address if it was not redirected.
	Original(conn *net.TCPConn) (netip.AddrPort, error)
}

// MechanismOptions say how to redirect in one namespace.
type MechanismOptions struct {
	Agent string // names this agent's run
	Port  uint16 // of the listeners
	IPv6  bool   // whether one listens on ::1
	Mark  uint32 // of connections to leave alone
	Lease time.Duration
}

// Redirector redirects in one namespace. It is used by one goroutine at a time.
type Redirector interface {
	// Install makes the kernel redirect what r says, as long as the lease lasts; saying it again changes nothing. It fails
	// with an error that is nft.ErrSuperseded once another agent's TakeOver came after this one's.
	Install(r Redirect) error
	// TakeOver is Install, whoever redirected before.
	TakeOver(r Redirect) error
	// Disturbed says, at little cost, whether the namespace's rules may have been changed by somebody else since Intact looked with
	// success. It is called after Renew, by whoever renews.
	Disturbed() bool
	// Intact says whether what was installed is still as it was written. It fails with an error that is nft.ErrSuperseded when another
	// agent has written it.
	Intact() (bool, error)
	// Remembers says whether the kernel still knows a redirected connection as one. It is called after Renew, by whoever renews. Restore has
	// it know connections again, and says how many it had forgotten.
	Remembers(m Mapping) bool
	Restore(all []Mapping) (int, error)
	// Foreign names what others have in the namespace that takes connections before they come to the agent.
	Foreign() ([]string, error)
	// Older lists the destinations of open connections that r redirects and that are not redirected, once per connection.
	Older(r Redirect) ([]netip.AddrPort, error)
	// Own says whether an accepted connection is one that the agent has made itself. Any goroutine may ask at any time.
	Own(conn *net.TCPConn, original netip.AddrPort) (bool, error)
	// Renew starts another lease; Yield ends the one there is; Leased says whether there is one, of whichever agent.
	Renew() error
	Yield() error
	Leased() (bool, error)
	// StopRedirect ends redirecting without harm to connections that were redirected.
	StopRedirect() error
	// Busy counts sockets that need what Pass left in place; Remove takes that away.
	Busy() (int, error)
	Remove() error
	// Close lets go, changing nothing.
	Close() error
}

// nftMechanism redirects by nftables.
type nftMechanism struct{ kernel *nft.Kernel }

// NFTables is the Mechanism that uses nftables.
func NFTables() Mechanism { return nftMechanism{kernel: new(nft.Kernel)} }

func (nftMechanism) PortInUse(ns *netns.Namespace) (uint16, error) {
	owner, _, err := nft.FindOwner(ns)
	return owner.Port, err
}

func (m nftMechanism) Open(ns *netns.Namespace, o MechanismOptions) (Redirector, error) {
	return m.kernel.Open(ns, nft.Options{Owner: o.Agent, Port: o.Port, IPv6: o.IPv6, Mark: o.Mark, Lease: o.Lease})
}

func (nftMechanism) Original(conn *net.TCPConn) (netip.AddrPort, error) {
	return nft.OriginalDestination(conn)
}
