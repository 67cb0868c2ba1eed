package nft

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Bounds of a netlink socket's buffers, of which only what is used takes memory: a whole transaction is one message to the kernel, and
// the answers to all its parts, which repeat the rules, must fit too. When they do not the change has been made and seems to have failed.
const (
	writeBuffer = 8 << 20
	readBuffer  = 64 << 20
)

// patience bounds a request and the wait for its answers. The kernel gives them before the request returns, so there is no wait; but
// on a starved node the request itself was seen to take more than five seconds, and to give up then would be to take a change that was
// made for one that was not.
const patience = time.Minute

// connect opens a connection to the nftables of ns. It must be closed with CloseLasting.
func connect(ns *netns.Namespace) (*nftables.Conn, error) {
	var c *nftables.Conn
	err := ns.Do(func() (err error) {
		c, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
			return errors.Join(c.SetReadBuffer(readBuffer), c.SetWriteBuffer(writeBuffer), c.SetDeadline(time.Now().Add(patience)))
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

// dial opens a bare netlink socket of a protocol inside ns, to be used for no longer than patience.
func dial(ns *netns.Namespace, protocol int) (*netlink.Conn, error) {
	var c *netlink.Conn
	err := ns.Do(func() (err error) {
		c, err = netlink.Dial(protocol, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return c, nil
}

// openRaw opens a socket of a protocol inside ns for those who write ready-made bytes to it.
func openRaw(ns *netns.Namespace, protocol int) (fd int, err error) {
	err = ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	return fd, err
}
