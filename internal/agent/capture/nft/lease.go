package nft

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// lease keeps the elements of the lease set from expiring. The table's rules ask that set before they redirect, so when nobody
// renews, the kernel redirects no more. Its netlink socket stays open, because a renewal is the one thing an idle agent does,
// and must work when there is no descriptor left to open another. For the same reason it does without a library: ready-made bytes
// are written, and since the kernel has answered when the write returns, the answer is read without waiting.
type lease struct {
	// immutable after newLease
	ns      *netns.Namespace
	ttl     time.Duration
	kernel  *kernel
	renewal []byte // adds both elements, or updates them where the kernel can
	rewrite []byte // removes and adds both
	removal []byte
	asking  []byte // for the generation of the namespace's rules

	// atomic
	commits atomic.Uint32 // transactions of this table's, each of which made another generation

	socket *nsnetlink.Raw // nil before open
}

func newLease(ns *netns.Namespace, ttl time.Duration, k *kernel) *lease {
	l := &lease{ns: ns, ttl: ttl, kernel: k}
	add, remove := addElements(ttl, ttl), element(unix.NFT_MSG_DELSETELEM, nil)
	l.renewal, l.rewrite, l.removal = transaction(add), transaction(remove, add), transaction(remove)
	l.asking = nsnetlink.Marshal([]netlink.Message{request(unix.NFT_MSG_GETGEN, 0, nil)})
	return l
}

// open opens the socket, if it is not open.
func (l *lease) open() (err error) {
	if l.socket != nil {
		return nil
	}
	if l.socket, err = nsnetlink.OpenRaw(l.ns, unix.NETLINK_NETFILTER); err != nil {
		return fmt.Errorf("open lease: %w", err)
	}
	return nil
}

func (l *lease) close() error {
	if l.socket == nil {
		return nil
	}
	err := l.socket.Close()
	l.socket = nil
	return err
}

// renew lets the lease last for another ttl from now.
func (l *lease) renew() error {
	if l.kernel.updatesInPlace(l) {
		return l.send(l.renewal)
	}
	return l.send(l.rewrite)
}

// drop ends the lease at once.
func (l *lease) drop() error { return l.send(l.removal) }

// alive reports whether an element of the set has not expired.
func (l *lease) alive() (bool, error) {
	left, err := l.left()
	return left > 0, err
}

// send carries out a transaction. It blocks while the kernel works on it, which on an old one takes some milliseconds.
func (l *lease) send(messages []byte) error {
	if err := l.open(); err != nil {
		return err
	}
	if err := l.socket.Send(messages); err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	var failure error
	for {
		answer, err := l.socket.Receive()
		if err != nil {
			return fmt.Errorf("renew lease: %w", err)
		}
		if answer == nil {
			if failure == nil {
				l.commits.Add(1)
			}
			return failure
		}
		if err := nsnetlink.Acknowledgement(answer); err != nil && failure == nil {
			failure = fmt.Errorf("renew lease: %w", err)
		}
	}
}

// generation counts the changes of the namespace's rules, whoever made them.
func (l *lease) generation() (uint32, error) {
	answer, err := l.socket.Ask(l.asking)
	if err != nil {
		return 0, err
	}
	return generation(answer)
}

// left is the time until the last element expires; 0 when there is none.
func (l *lease) left() (time.Duration, error) {
	answers, err := nsnetlink.Execute(l.ns, unix.NETLINK_NETFILTER, request(unix.NFT_MSG_GETSETELEM, netlink.Dump, setAttrs(leaseSet, nil)))
	if err != nil {
		return 0, fmt.Errorf("read lease: %w", err)
	}
	var longest time.Duration
	for _, a := range answers {
		left, err := expiration(a.Data)
		if err != nil {
			return 0, fmt.Errorf("read lease: %w", err)
		}
		longest = max(longest, left)
	}
	return longest, nil
}

// kernel is what was found out about the running kernel. The zero kernel is ready.
type kernel struct {
	mu      sync.Mutex // held while finding out, so that it is done once
	known   bool
	inPlace bool
}

// updatesInPlace reports whether the kernel updates the time of an element that is there (6.12 and later), by trying it on l. An
// older kernel takes the message and ignores it; then elements have to be removed and added, which makes it wait for a grace
// period. Where trying fails, because the table is gone, nothing has been found out, and the next lease is tried.
func (k *kernel) updatesInPlace(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known {
		return k.inPlace
	}
	short := transaction(element(unix.NFT_MSG_DELSETELEM, nil), addElements(l.ttl, l.ttl/2))
	if l.send(short) != nil || l.send(l.renewal) != nil {
		return false
	}
	left, err := l.left()
	k.known, k.inPlace = err == nil, err == nil && left > l.ttl*3/4
	return k.inPlace
}

// element is a message about the lease set's elements; without any it means all.
func element(kind uint16, elements []byte) netlink.Message {
	return request(kind, netlink.Acknowledge, setAttrs(leaseSet, elements))
}

// addElements adds ipv4 and ipv6, to last for timeout and to have expires of it left.
func addElements(timeout, expires time.Duration) netlink.Message {
	var both []byte
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		both = append(both, nsnetlink.Attributes(nsnetlink.Nested(unix.NFTA_LIST_ELEM,
			nsnetlink.Nested(unix.NFTA_SET_ELEM_KEY, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: []byte{family}}),
			netlink.Attribute{Type: unix.NFTA_SET_ELEM_TIMEOUT, Data: milliseconds(timeout)},
			netlink.Attribute{Type: unix.NFTA_SET_ELEM_EXPIRATION, Data: milliseconds(expires)},
		))...)
	}
	return element(unix.NFT_MSG_NEWSETELEM, both)
}

func milliseconds(d time.Duration) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(d.Milliseconds()))
}

// expiration reads the longest time left of the elements in one answer.
func expiration(answer []byte) (longest time.Duration, err error) {
	err = eachElement(answer, func(d *netlink.AttributeDecoder) {
		if d.Type() == unix.NFTA_SET_ELEM_EXPIRATION {
			longest = max(longest, time.Duration(d.Uint64())*time.Millisecond)
		}
	})
	return longest, err
}
