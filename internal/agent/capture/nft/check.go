package nft

import (
	"errors"
	"fmt"
	"hash/fnv"
	"hash/maphash"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// disturbed reports whether somebody else has changed rules in the namespace, of whatever table, since Intact found the table whole or
// this Table wrote it. It costs little. It may say so of a change of its own when that is made at the same time.
func (t *Table) disturbed() bool {
	commits := t.lease.commits.Load()
	generation, err := t.lease.generation()
	return err == nil && generation-commits != t.base.Load()
}

// Intact reports whether the table is as it was written. It fails with mechanism.ErrSuperseded when another agent has written it since.
func (t *Table) Intact() (bool, error) {
	if t.applied == nil {
		return false, nil
	}
	if owner, ok, err := FindOwner(t.ns); err != nil || !ok {
		return false, err
	} else if owner.Name != t.settings.Agent {
		return false, fmt.Errorf("%w: %s", mechanism.ErrSuperseded, owner.Name)
	}
	rules, base, err := t.fingerprint()
	whole := err == nil && rules == t.written
	if whole {
		whole, err = t.setsHold(*t.applied)
	}
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if whole { // what could not be looked at, or is to be written again, is not known to be right
		t.base.Store(base)
	}
	return whole, err
}

// recordFingerprint takes a fingerprint of the table.
func (t *Table) recordFingerprint() error {
	rules, base, err := t.fingerprint()
	if err == nil {
		t.written = rules
		t.base.Store(base)
	}
	return err
}

// fingerprint reads a hash of the table's chains and rules, and what the namespace's generation was ahead of our transactions before.
func (t *Table) fingerprint() (rules uint64, base uint32, err error) {
	c, err := nsnetlink.Dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = c.Close() }()
	if base, err = t.generationOffset(c); err != nil {
		return 0, 0, fmt.Errorf("read generation: %w", err)
	}
	if rules, err = readFingerprint(c); err != nil {
		return 0, 0, fmt.Errorf("read rules: %w", err)
	}
	return rules, base, nil
}

func (t *Table) generationOffset(c *netlink.Conn) (uint32, error) {
	commits := t.lease.commits.Load()
	answers, err := c.Execute(request(unix.NFT_MSG_GETGEN, 0, nil))
	if err != nil {
		return 0, err
	}
	if len(answers) != 1 {
		return 0, fmt.Errorf("%d answers", len(answers))
	}
	n, err := generation(answers[0].Data)
	return n - commits, err
}

// generation reads the number of a generation in an answer.
func generation(answer []byte) (n uint32, err error) {
	err = nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		if d.Type() == unix.NFTA_GEN_ID {
			n = d.Uint32()
		}
	})
	return n, err
}

// readFingerprint hashes the flags of our table, its chains and its rules, the latter with their handles: a rule written anew is another one.
func readFingerprint(c *netlink.Conn) (uint64, error) {
	h := fnv.New64a()
	tables, err := c.Execute(request(unix.NFT_MSG_GETTABLE, 0, []netlink.Attribute{nsnetlink.Text(unix.NFTA_TABLE_NAME, tableName)}))
	if err != nil {
		return 0, err
	}
	for _, a := range tables {
		if err := nsnetlink.Fields(a.Data, func(d *netlink.AttributeDecoder) {
			if d.Type() == unix.NFTA_TABLE_FLAGS {
				_, _ = h.Write(d.Bytes())
			}
		}); err != nil {
			return 0, err
		}
	}
	chains, err := c.Execute(request(unix.NFT_MSG_GETCHAIN, netlink.Dump, nil))
	if err != nil {
		return 0, err
	}
	for _, a := range chains {
		described, err := describeChain(a.Data)
		if err != nil {
			return 0, err
		}
		_, _ = h.Write(described)
	}
	rules, err := c.Execute(request(unix.NFT_MSG_GETRULE, netlink.Dump,
		[]netlink.Attribute{nsnetlink.Text(unix.NFTA_RULE_TABLE, tableName)}))
	if err != nil {
		return 0, err
	}
	for _, a := range rules {
		_, _ = h.Write(a.Data[min(4, len(a.Data)):]) // what comes before has a part of the generation's number
	}
	return h.Sum64(), nil
}

// describeChain is what matters of a chain of ours, and nothing of others.
func describeChain(answer []byte) (described []byte, err error) {
	ours := false
	err = nsnetlink.Fields(answer, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case unix.NFTA_CHAIN_TABLE:
			ours = d.String() == tableName
		case unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE, unix.NFTA_CHAIN_HANDLE:
			described = append(described, d.Bytes()...)
		}
	})
	if !ours {
		return nil, err
	}
	return described, err
}

// setsHold reports whether the sets hold what r says. Those that are renewed or that the kernel fills are left out.
func (t *Table) setsHold(r intent.Redirect) (bool, error) {
	c, err := nsnetlink.Dial(t.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	v4, v6 := byFamily(r.Addrs)
	unserved4, unserved6 := byFamily(r.Unserved)
	for name, keys := range map[string][]string{"addrs4": addressKeys(v4), "addrs6": addressKeys(v6), "ports": portKeys(r.Ports),
		"unserved4": addressKeys(unserved4), "unserved6": addressKeys(unserved6)} {
		want := contents{seed: t.seed}
		for _, key := range keys {
			want.add([]byte(key))
		}
		got := contents{seed: t.seed}
		if err := got.read(c, name); err != nil {
			return false, err
		}
		if got != want {
			return false, nil
		}
	}
	return true, nil
}

// contents are the keys of a set, in whatever order.
type contents struct {
	seed  maphash.Seed
	count int
	sum   uint64
}

func (s *contents) add(key []byte) {
	s.count++
	s.sum += maphash.Bytes(s.seed, key)
}

func (s *contents) read(c *netlink.Conn, set string) error {
	answers, err := c.Execute(request(unix.NFT_MSG_GETSETELEM, netlink.Dump, setAttrs(set, nil)))
	if err != nil {
		return fmt.Errorf("read set %s: %w", set, err)
	}
	for _, a := range answers {
		if err := eachKey(a.Data, s.add); err != nil {
			return fmt.Errorf("read set %s: %w", set, err)
		}
	}
	return nil
}
