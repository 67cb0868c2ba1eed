package nft

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// Bounds of a netlink socket's buffers, of which only what is used takes memory: a whole transaction is one message to the kernel, and
// the answers to all its parts, which repeat the rules, must fit too. When they do not the change has been made and seems to have failed.
const (
	writeBuffer = 8 << 20
	readBuffer  = 64 << 20
)

// connect opens a connection to the nftables of ns. It must be closed with CloseLasting.
func connect(ns *netns.Namespace) (*nftables.Conn, error) {
	var c *nftables.Conn
	err := ns.Do(func() (err error) {
		c, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
			return errors.Join(c.SetReadBuffer(readBuffer), c.SetWriteBuffer(writeBuffer), c.SetDeadline(time.Now().Add(nsnetlink.Timeout)))
		}))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to nftables: %w", err)
	}
	return c, nil
}

// transact sends what fill queues as one transaction: the kernel does all of it or nothing.
func (t *Table) transact(fill func(c *nftables.Conn) error) error {
	c, err := connect(t.ns)
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseLasting() }()
	if err := fill(c); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("change nftables: %w", err)
	}
	t.lease.commits.Add(1)
	return nil
}
