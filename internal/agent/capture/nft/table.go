package nft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

const (
	tableName   = "fairlead"
	leaseSet    = "lease"
	ownerPrefix = "agent-"
)

// listener is where connections are redirected to.
type listener struct {
	Port         uint16
	IPv6, NoIPv4 bool
}

func listenerOf(want mechanism.Intent) listener { return listener{want.Port, want.IPv6, want.NoIPv4} }

// Table is the nftables table of one network namespace. It is a mechanism.Attachment.
//
// The table names its owner by a set whose name no other agent's has and which holds the port. Every change of an owner begins
// by deleting that set in the same transaction, so a change of an agent that was superseded fails as a whole.
type Table struct {
	// immutable after Attach
	ns       *netns.Namespace
	settings mechanism.Settings
	table    *nftables.Table
	lease    *lease
	seed     maphash.Seed

	// atomic
	base atomic.Uint32 // what the namespace's generation was ahead of our transactions when the table was whole the last time

	// to is what the table redirects to, or what was found there.
	to listener
	// applied is what the table is known to hold in normal form; nil when unknown or when the table is not ours.
	applied *intent.Redirect
	// written is a hash of its chains and rules as they were after the last change of ours.
	written uint64
}

// Close implements mechanism.Attachment: the table stays as it is.
func (t *Table) Close() error { return t.lease.close() }

// Found implements mechanism.Attachment.
func (t *Table) Found() (uint16, error) {
	owner, _, err := FindOwner(t.ns)
	if err == nil && t.applied == nil {
		t.to.Port = owner.Port
	}
	return owner.Port, err
}

// Install implements mechanism.Attachment, in one transaction. When nothing changes nothing is done. The first Install must be
// followed by Renew.
func (t *Table) Install(want mechanism.Intent) error {
	if t.applied == nil || t.to != listenerOf(want) {
		return t.TakeOver(want)
	}
	normal, err := want.Redirect.Normal()
	if err != nil || t.applied.Equal(normal) {
		return err
	}
	return t.record(t.change(*t.applied, normal), normal)
}

// TakeOver implements mechanism.Attachment.
func (t *Table) TakeOver(want mechanism.Intent) error {
	normal, err := want.Redirect.Normal()
	if err != nil {
		return err
	}
	t.applied = nil // whatever happens it is written anew
	t.to = listenerOf(want)
	return t.record(t.takeOver(normal), normal)
}

// StopRedirect implements mechanism.Attachment. Connections that were redirected go on, because the kernel goes on tracking.
func (t *Table) StopRedirect() error {
	return t.Install(mechanism.Intent{Port: t.to.Port, IPv6: t.to.IPv6, NoIPv4: t.to.NoIPv4})
}

// Busy implements mechanism.Attachment: the kernel translates for whatever has the listener's port, until it has delivered everything.
func (t *Table) Busy() (int, error) { return sockdiag.Busy(t.ns, t.to.Port) }

// Remove deletes the table. Connections that were redirected and are still open break: see StopRedirect and Busy. It fails with
// mechanism.ErrSuperseded, leaving the table, when it belongs to another agent.
func (t *Table) Remove() error {
	err := t.remove()
	if errors.Is(err, unix.EBUSY) {
		// The pod has put rules of its own into the table. Once it is written anew they are gone.
		if err = t.takeOver(intent.Redirect{}); err == nil {
			err = t.remove()
		}
	}
	t.applied = nil
	return t.explain(err)
}

func (t *Table) remove() error {
	return t.transact(func(c *nftables.Conn) error {
		c.DelSet(t.ownerSet(t.settings.Agent))
		c.DelTable(t.table)
		return nil
	})
}

// Renew implements mechanism.Attachment. It fails with mechanism.ErrSuperseded or another error when the table is gone.
func (t *Table) Renew(sample mechanism.Connection) (mechanism.Health, error) {
	if err := t.lease.renew(); err != nil {
		return mechanism.Health{}, t.explain(err)
	}
	h := mechanism.Health{Disturbed: t.disturbed()}
	if sample.From.IsValid() {
		known, err := conntrack.Known(t.lease.socket, sample)
		h.Forgotten = err == nil && !known // not knowing is no reason to say so
	}
	return h, nil
}

// Yield implements mechanism.Attachment.
func (t *Table) Yield() error { return t.explain(t.lease.drop()) }

// Leased implements mechanism.Attachment.
func (t *Table) Leased() (bool, error) { return t.lease.alive() }

// Restore implements mechanism.Attachment.
func (t *Table) Restore(all []mechanism.Connection) (int, error) {
	return conntrack.Restore(t.ns, t.to.Port, all)
}

// record remembers what a change has made of the table, if it succeeded.
func (t *Table) record(err error, now intent.Redirect) error {
	if err == nil && (t.applied == nil || !sameRules(*t.applied, now)) {
		err = t.recordFingerprint()
	}
	if err != nil {
		t.applied = nil
		return t.explain(err)
	}
	t.applied = &now
	return nil
}

// explain distinguishes being superseded from other failures.
func (t *Table) explain(err error) error {
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return err
	}
	if owner, ok, findErr := FindOwner(t.ns); findErr == nil && ok && owner.Name != t.settings.Agent {
		return fmt.Errorf("%w: %s", mechanism.ErrSuperseded, owner.Name)
	}
	return err
}
