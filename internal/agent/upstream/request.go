package upstream

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// Request asks for a connection for one attempt of a call. Its owner reuses it from attempt to attempt and from call to call. While it
// is parked or granted it must not be copied or changed.
type Request struct {
	// Original is where the client wanted to go. It is used when Pinned, and when the cluster has no host of its family; other hosts
	// are those of its family.
	Original netip.AddrPort
	// Pinned: only Original will do; or, where the cluster stands for a host name, another address of the name if Original is among
	// those to avoid, or cannot be connected to.
	Pinned bool
	// Fresh: a new connection is wanted, not one that was kept.
	Fresh bool
	// Careful: what is sent cannot be sent again, so that a connection is wanted that has just proved alive, or a new one.
	Careful bool
	// Client names the client's connection: what it used last has proved alive to it. 0 names none.
	Client uint64
	// ConnectTimeout and HandshakeTimeout bound the stages of making a connection, where the context of Dial does not; 0: not at all.
	ConnectTimeout, HandshakeTimeout time.Duration
	// Turn, if not nil, is what a new connection takes turns by (transport.Conn.TakeTurns).
	Turn func()
	// Unsecured: the connection is wanted as it is, since its user secures it, or not, by itself. It goes with Fresh: pools keep secured ones.
	Unsecured bool
	// Multiplexed: the connection is to be one that carries many exchanges at a time, and not one that carries one after the other. The
	// two are never mixed up.
	Multiplexed bool
	// Either: the host is to choose which of the two the new connection carries, to see what it chooses (Conn.Info). If that is many exchanges, the
	// connection must not be kept. It goes with Fresh, and not with Multiplexed.
	Either bool
	// Avoid are endpoints to leave alone as long as there are others.
	Avoid []netip.AddrPort
	// Endpoints says which are out and are left alone, as long as the pod can connect to others; nil: none are. Pool.TakePermit has the permit of the
	// one that was chosen.
	Endpoints *resilience.Endpoints
	// Choice, if not nil, is filled in when the request is granted.
	Choice *Choice
	// Wake is called once when the request was parked and has been granted, possibly before Acquire has returned. It is called with the
	// pool's lock held: it must do no more than to tell its owner, and must not call the pool. When Cancel or CancelParked has returned
	// it is not called any more.
	Wake func()

	host *Host // its owner's: what to was when the pool said so last

	// guarded by the pool's lock until the request is granted, its owner's then
	state      requestState
	conn       *Conn        // nil: a new one is to be made
	nth        int          // see Lease
	unchecked  bool         // conn is good as it is
	pending    *pendingDial // that it waits for, or makes the connection of; nil: none
	err        error        // see Failed
	to         *hostConns
	permit     endpointPermit
	turn       uint64 // of those that are parked, the lowest comes first
	queue      *queue // that it is parked in
	next, prev *Request
}

type requestState uint8

const (
	unused requestState = iota
	parked
	joined
	granted
)

// Host is the host that a request is for, as the last answer of Acquire or Redeem has it that was not Parked. It is its owner's to ask.
func (r *Request) Host() *Host { return r.host }
