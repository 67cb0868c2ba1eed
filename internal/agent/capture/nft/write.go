package nft

import (
	"errors"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

// change turns the table from have to want, if it is still ours.
func (t *Table) change(have, want intent.Redirect) error {
	return t.transact(func(c *nftables.Conn) error {
		c.DelSet(t.ownerSet(t.settings.Agent))
		if err := t.addOwner(c); err != nil {
			return err
		}
		if err := t.sets().fill(c, have, want); err != nil {
			return err
		}
		if sameRules(have, want) {
			return nil
		}
		return t.write(c, t.rules(want))
	})
}

// takeOver writes the whole table over whatever is there.
func (t *Table) takeOver(want intent.Redirect) error {
	if err := t.lease.open(); err != nil {
		return err
	}
	owner, owned, err := FindOwner(t.ns)
	if err != nil {
		return err
	}
	if !owned {
		// Where the kernel cannot be asked what it knows from before, nothing is forgotten.
		_ = conntrack.ForgetStale(t.ns, t.to.Port)
	}
	// A new table redirects nothing before the agent's connections have their zone: there is no lease yet, and it is asked for first.
	first := want
	first.FailClosed = want.FailClosed && owned
	if err := t.writeOver(owner, owned, first); err != nil {
		return err
	}
	if err := errors.Join(t.writeZoneRule(), t.writeBoundRules()); err != nil || first.FailClosed == want.FailClosed {
		return err
	}
	return t.change(first, want)
}

// writeOver writes all but the rules that are transactions of their own. Of a table that was owned it keeps the rest, so that the rule
// for zones stays in force all the time.
func (t *Table) writeOver(owner Owner, owned bool, want intent.Redirect) error {
	others, err := t.othersObjects()
	if err != nil {
		return err
	}
	err = t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.table)
		if owned {
			c.DelSet(t.ownerSet(owner.Name))
		}
		return t.build(c, want, others)
	})
	if !otherShape(err) {
		return err
	}
	// What is there has our names and another shape: an agent of another version made it, or the pod has changed it.
	return t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.table)
		c.DelTable(t.table)
		c.AddTable(t.table)
		return t.build(c, want, objects{})
	})
}

// otherShape says that a change failed in a way that things of our names and of another shape explain.
func otherShape(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP)
}

// build writes the table's chains and sets, and removes what others have left in it.
func (t *Table) build(c *nftables.Conn, want intent.Redirect, others objects) error {
	if err := t.addOwner(c); err != nil {
		return err
	}
	s := t.sets()
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
	c.AddObj(t.quicCounter())
	if err := s.fill(c, intent.Redirect{}, want); err != nil {
		return err
	}
	writeOwn(c, t.chain(ownChain), t.settings.Mark)
	if err := t.write(c, t.rules(want)); err != nil {
		return err
	}
	others.remove(c)
	return nil
}

func (t *Table) ownerSet(name string) *nftables.Set {
	return portSet(t.table, ownerID, ownerPrefix+name)
}

func (t *Table) addOwner(c *nftables.Conn) error {
	return c.AddSet(t.ownerSet(t.settings.Agent), elements(portKeys([]uint16{t.to.Port})))
}
