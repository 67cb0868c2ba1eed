package nft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

const (
	tableName   = "fairlead"
	leaseSet    = "lease"
	ownerPrefix = "agent-"
)

var linkLocal6 = netip.MustParsePrefix("fe80::/10")

// ErrSuperseded says that the table belongs to another agent now: nothing was changed, and only taking it over can change it.
var ErrSuperseded = errors.New("another agent has taken over")

// Options say how a Table redirects.
type Options struct {
	// Owner names this agent's run; no other run has had the same. Up to 64 letters and digits.
	Owner string
	// Port is where the agent listens on 127.0.0.1 and, if IPv6 is set, on ::1.
	Port uint16
	IPv6 bool
	// Mark is on the packets of the agent's own connections.
	Mark uint32
	// Lease is how long the kernel goes on redirecting after the last Renew.
	Lease time.Duration
}

// Table is the nftables table of one network namespace. It is used by one goroutine at a time.
//
// The table names its owner by a set whose name no other agent's has and which holds the port. Every change of an owner begins
// by deleting that set in the same transaction, so a change of an agent that was superseded fails as a whole.
type Table struct {
	// immutable after Open
	ns      *netns.Namespace
	options Options
	table   *nftables.Table
	lease   *lease
	seed    maphash.Seed

	// atomic
	base atomic.Uint32 // what the namespace's generation was ahead of our transactions when the table was whole the last time

	// applied is what the table is known to hold in normal form; nil when unknown or when the table is not ours.
	applied *Redirect
	// written is a hash of its chains and rules as they were after the last change of ours.
	written uint64
}

// Open prepares a table without touching what is there.
func (k *Kernel) Open(ns *netns.Namespace, o Options) (*Table, error) {
	l, err := k.openLease(ns, o.Lease)
	if err != nil {
		return nil, err
	}
	return &Table{ns: ns, options: o, table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}, lease: l,
		seed: maphash.MakeSeed()}, nil
}

// Close lets go of the table, leaving it as it is.
func (t *Table) Close() error { return t.lease.close() }

// Install makes the kernel redirect what r says, in one transaction; if that fails nothing has changed. When nothing changes
// nothing is done. It fails with ErrSuperseded when another agent took the table over since this Table had it. The first Install
// must be followed by Renew.
func (t *Table) Install(r Redirect) error {
	if t.applied == nil {
		return t.TakeOver(r)
	}
	normal, err := r.Normal()
	if err != nil || t.applied.Equal(normal) {
		return err
	}
	return t.keep(t.change(*t.applied, normal), normal)
}

// TakeOver is Install over whatever is there, whoever it belongs to.
func (t *Table) TakeOver(r Redirect) error {
	normal, err := r.Normal()
	if err != nil {
		return err
	}
	t.applied = nil // whatever happens it is written anew
	return t.keep(t.takeOver(normal), normal)
}

// StopRedirect ends the redirecting of new connections. Those that were redirected go on, because the kernel goes on tracking.
func (t *Table) StopRedirect() error {
	return t.Install(Redirect{})
}

// Remove deletes the table. Connections that were redirected and are still open break: see Pass and Busy. It fails with
// ErrSuperseded, leaving the table, when it belongs to another agent.
func (t *Table) Remove() error {
	err := t.remove()
	if errors.Is(err, unix.EBUSY) {
		// The pod has put rules of its own into the table. Once it is written anew they are gone.
		if err = t.takeOver(Redirect{}); err == nil {
			err = t.remove()
		}
	}
	t.applied = nil
	return t.explain(err)
}

func (t *Table) remove() error {
	return t.transact(func(c *nftables.Conn) error {
		c.DelSet(t.ownerSet(t.options.Owner))
		c.DelTable(t.table)
		return nil
	})
}

// Renew keeps the kernel redirecting for another lease. It fails with ErrSuperseded or another error when the table is gone.
func (t *Table) Renew() error { return t.explain(t.lease.renew()) }

// Yield ends the lease at once: unless FailClosed was installed, new connections go direct until the next Renew.
func (t *Table) Yield() error { return t.explain(t.lease.drop()) }

// Leased says whether anybody keeps the lease.
func (t *Table) Leased() (bool, error) { return t.lease.alive() }

func (t *Table) keep(err error, now Redirect) error {
	if err == nil && (t.applied == nil || !t.applied.sameRules(now)) {
		err = t.remember()
	}
	if err != nil {
		t.applied = nil
		return t.explain(err)
	}
	t.applied = &now
	return nil
}

// explain tells being superseded from other failures.
func (t *Table) explain(err error) error {
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return err
	}
	if owner, ok, findErr := FindOwner(t.ns); findErr == nil && ok && owner.Name != t.options.Owner {
		return fmt.Errorf("%w: %s", ErrSuperseded, owner.Name)
	}
	return err
}

// change turns the table from have to want, if it is still ours.
func (t *Table) change(have, want Redirect) error {
	return t.transact(func(c *nftables.Conn) error {
		c.DelSet(t.ownerSet(t.options.Owner))
		if err := t.addOwner(c); err != nil {
			return err
		}
		s := namedSets(t.table, t.options)
		if err := s.fill(c, have, want); err != nil {
			return err
		}
		if have.sameRules(want) {
			return nil
		}
		return t.write(c, t.rules(want))
	})
}

// takeOver writes the whole table over whatever is there.
func (t *Table) takeOver(want Redirect) error {
	owner, owned, err := FindOwner(t.ns)
	if err != nil {
		return err
	}
	if !owned {
		// Where the kernel cannot be asked what it knows from before, there is nothing to mend.
		_ = forgetFormer(t.ns, t.options.Port)
	}
	// A new table redirects nothing before the agent's connections have their zone: there is no lease yet, and it is asked for first.
	first := want
	first.FailClosed = want.FailClosed && owned
	err = t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.table)
		if owned {
			c.DelSet(t.ownerSet(owner.Name))
			t.dropFormer(c)
		}
		return t.build(c, first)
	})
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY) {
		// What is there has our names and another shape: an agent of another version made it, or the pod has changed it.
		err = t.transact(func(c *nftables.Conn) error {
			c.AddTable(t.table)
			c.DelTable(t.table)
			c.AddTable(t.table)
			return t.build(c, first)
		})
	}
	if err == nil {
		err = errors.Join(t.separate(), t.spare())
	}
	if err != nil || first.FailClosed == want.FailClosed {
		return err
	}
	return t.change(first, want)
}

func (t *Table) build(c *nftables.Conn, want Redirect) error {
	if err := t.addOwner(c); err != nil {
		return err
	}
	s := namedSets(t.table, t.options)
	for _, set := range s.all() {
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		if set != s.lease && !set.Dynamic {
			c.FlushSet(set)
		}
	}
	for _, chain := range t.chains() {
		c.AddChain(chain)
	}
	if err := s.fill(c, Redirect{}, want); err != nil {
		return err
	}
	writeOwn(c, t.chain(ownChain), t.options.Mark)
	return t.write(c, t.rules(want))
}

func (t *Table) ownerSet(name string) *nftables.Set {
	return portSet(t.table, ownerID, ownerPrefix+name)
}

func (t *Table) addOwner(c *nftables.Conn) error {
	return c.AddSet(t.ownerSet(t.options.Owner), elements(portKeys([]uint16{t.options.Port})))
}
