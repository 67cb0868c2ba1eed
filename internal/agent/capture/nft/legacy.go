package nft

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// legacyRedirects looks into iptables of the old kind, which nftables does not know of. Their tables are asked for only where they are
// there, because asking makes them. A redirect of what comes in counts too: that is not worth distinguishing, as those who have the one have
// the other.
func legacyRedirects(ns *netns.Namespace) ([]string, error) {
	var found []string
	err := ns.Do(func() error {
		for _, k := range legacyKinds {
			names, err := os.ReadFile("/proc/thread-self/net/" + k.names)
			if err != nil || !slices.Contains(strings.Fields(string(names)), "nat") {
				continue // no support for it at all, or no such table
			}
			entries, err := k.entries()
			if err != nil {
				return err
			}
			if slices.ContainsFunc(elsewhere, func(target string) bool { return bytes.Contains(entries, []byte(target+"\x00")) }) {
				found = append(found, k.tool+" nat")
			}
		}
		return nil
	})
	return found, err
}

// legacyKind is how iptables of one family are read.
type legacyKind struct {
	tool, names             string
	family, level           int
	getInfo, getEntries     int
	infoSize, entriesOffset int
}

// Of linux/netfilter_ipv4/ip_tables.h and its sister: struct ipt_getinfo is a name of 32 bytes, the valid hooks, two times five offsets,
// the number of entries and their size; struct ipt_get_entries is the name, the size, and the entries from the next multiple of eight on.
var legacyKinds = []legacyKind{
	{tool: "iptables-legacy", names: "ip_tables_names", family: unix.AF_INET, level: unix.SOL_IP, getInfo: 64, getEntries: 65, infoSize: 84, entriesOffset: 40},
	{tool: "ip6tables-legacy", names: "ip6_tables_names", family: unix.AF_INET6, level: unix.SOL_IPV6, getInfo: 64, getEntries: 65, infoSize: 84, entriesOffset: 40},
}

// maxLegacy bounds the entries that are read.
const maxLegacy = 16 << 20

// entries are those of the nat table of the namespace that the thread is in. Any socket of the family will do to ask; iptables asks by a raw one,
// which would need CAP_NET_RAW.
func (k legacyKind) entries() ([]byte, error) {
	fd, err := unix.Socket(k.family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	info := make([]byte, k.infoSize)
	copy(info, "nat")
	if err := getsockopt(fd, k.level, k.getInfo, info); err != nil {
		return nil, err
	}
	const sizeAt, nameSize = 80, 32
	size := binary.NativeEndian.Uint32(info[sizeAt:])
	if size > maxLegacy {
		return nil, os.NewSyscallError("getsockopt", unix.EMSGSIZE)
	}
	all := make([]byte, k.entriesOffset+int(size))
	copy(all, "nat")
	binary.NativeEndian.PutUint32(all[nameSize:], size)
	if err := getsockopt(fd, k.level, k.getEntries, all); err != nil {
		return nil, err
	}
	return all[k.entriesOffset:], nil
}

// getsockopt reads an option that begins as buffer does.
func getsockopt(fd, level, option int, buffer []byte) error {
	size := uint32(len(buffer))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}
