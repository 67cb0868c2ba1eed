package differential

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sayAgain has the node say of each packet to the unreachable address, some times more, that it cannot be delivered. Its kernel says so at once, while connect is still
// sending the packet as a rule, and of a socket that is in use by a system call TCP keeps that for later: it goes on trying, and hears of it when it sends the next
// packet, a second later. Which of the two comes to pass is left to chance, for every attempt to connect; what comes again is heard by all.
func (w *world) sayAgain(t *testing.T) {
	var heard *os.File
	var out int
	check(t, w.node.Do(func() error {
		in, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(bigEndian(unix.ETH_P_IP)))
		if err != nil {
			return err
		}
		heard = os.NewFile(uintptr(in), "packets")
		out, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	}))
	var saying sync.WaitGroup
	saying.Go(func() {
		for b := make([]byte, 128); ; {
			n, err := heard.Read(b)
			if err != nil {
				return
			}
			if quoted, from, ok := toUnreachable(b[:n]); ok {
				for range 3 {
					time.Sleep(10 * time.Millisecond) // how soon a network says so
					_ = unix.Sendto(out, undeliverable(quoted), 0, &unix.SockaddrInet4{Addr: from.As4()})
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = heard.Close()
		saying.Wait()
		_ = unix.Close(out)
	})
}

// toUnreachable returns who has sent a packet to the unreachable address, and what of it is quoted to them.
func toUnreachable(packet []byte) (quoted []byte, from netip.Addr, ok bool) {
	const least, behind = 20, 8
	if len(packet) < least || packet[9] != unix.IPPROTO_TCP || netip.AddrFrom4([4]byte(packet[16:20])) != unreachable {
		return nil, netip.Addr{}, false
	}
	end := int(packet[0]&0x0f)*4 + behind
	if end > len(packet) {
		return nil, netip.Addr{}, false
	}
	return packet[:end], netip.AddrFrom4([4]byte(packet[12:16])), true
}

// undeliverable is a message of ICMP (RFC 792): the host of what it quotes cannot be reached.
func undeliverable(quoted []byte) []byte {
	const destinationUnreachable, host = 3, 1
	m := append([]byte{destinationUnreachable, host, 0, 0, 0, 0, 0, 0}, quoted...)
	sum := uint32(0)
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}

// bigEndian is n as the kernel wants it that has two bytes in the order of networks.
func bigEndian(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
