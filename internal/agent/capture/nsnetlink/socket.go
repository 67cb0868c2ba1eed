package nsnetlink

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Timeout bounds a request and the wait for its answers. The kernel gives them before the request returns, so there is no wait; but
// on a starved node the request itself was seen to take more than five seconds, and giving up then would take a change that was
// made for one that was not.
const Timeout = time.Minute

// Dial opens a netlink socket of a protocol inside ns, to be used for no longer than Timeout.
func Dial(ns *netns.Namespace, protocol int) (*netlink.Conn, error) {
	var c *netlink.Conn
	err := ns.Do(func() (err error) {
		c, err = netlink.Dial(protocol, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := c.SetDeadline(time.Now().Add(Timeout)); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return c, nil
}

// Execute opens a socket of a protocol inside ns for one request, and returns the answers.
func Execute(ns *netns.Namespace, protocol int, m netlink.Message) ([]netlink.Message, error) {
	c, err := Dial(ns, protocol)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Execute(m)
}

// Raw is a netlink socket for ready-made bytes. It costs one system call to ask and one to read: the kernel has answered when the
// request returns, so answers are read without waiting. It is used by one goroutine at a time.
type Raw struct {
	fd     int
	answer [4096]byte
}

// OpenRaw opens a Raw of a protocol inside ns.
func OpenRaw(ns *netns.Namespace, protocol int) (*Raw, error) {
	r := &Raw{fd: -1}
	err := ns.Do(func() (err error) {
		r.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close closes the socket.
func (r *Raw) Close() error { return os.NewSyscallError("close", unix.Close(r.fd)) }

// Send has the kernel work on messages. It blocks while the kernel does.
func (r *Raw) Send(messages []byte) error {
	return os.NewSyscallError("send", unix.Send(r.fd, messages, 0))
}

// Receive returns the next answer, which is valid until the next call, or nil when there is none.
func (r *Raw) Receive() ([]byte, error) {
	n, _, err := unix.Recvfrom(r.fd, r.answer[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("recvfrom", err)
	}
	return r.answer[:n], nil
}

// Ask sends one request and returns the body of its only answer, which is valid until the next call. An answer that is an error is
// returned as that error.
func (r *Raw) Ask(request []byte) (body []byte, err error) {
	if err := r.Send(request); err != nil {
		return nil, err
	}
	answer, err := r.Receive()
	if err != nil {
		return nil, err
	}
	if isError(answer) {
		if err := Acknowledgement(answer); err != nil {
			return nil, err
		}
	}
	if len(answer) < unix.SizeofNlMsghdr {
		return nil, fmt.Errorf("unexpected answer of %d bytes", len(answer))
	}
	return answer[unix.SizeofNlMsghdr:], nil
}

// SendAll has the kernel carry out messages that need no answer, many at a time: there may be tens of thousands. What one of them is
// about may be gone meanwhile, so answers, which only failures have, are thrown away.
func SendAll(ns *netns.Namespace, protocol int, messages []netlink.Message) error {
	const together = 256
	if len(messages) == 0 {
		return nil
	}
	r, err := OpenRaw(ns, protocol)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for len(messages) > 0 {
		n := min(together, len(messages))
		if err := r.Send(Marshal(messages[:n])); err != nil {
			return err
		}
		r.discard()
		messages = messages[n:]
	}
	return nil
}

// discard reads what there is to read. ENOBUFS says that there was more than the socket holds.
func (r *Raw) discard() {
	for {
		answer, err := r.Receive()
		if answer == nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}
