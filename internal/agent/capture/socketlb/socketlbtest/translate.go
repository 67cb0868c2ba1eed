// Package socketlbtest translates the addresses of Services as Cilium's socket load balancing does: by programs on a cgroup that change the
// address that a socket connects to, and have getpeername show the one that was asked for. It is never linked into a binary.
package socketlbtest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// Translate has what this process, and programs that it starts from now on, connect to translated until the test ends: from the address of a
// Service to that of an endpoint of the same family. The process moves to a cgroup of its own, so only one test of a process may do so at a
// time.
func Translate(t testing.TB, services map[netip.AddrPort]netip.AddrPort) {
	t.Helper()
	netnstest.Privileged(t)
	group := enterCgroup(t)
	back := map[netip.AddrPort]netip.AddrPort{}
	for service, endpoint := range services {
		back[endpoint] = service
	}
	for attach, table := range map[ebpf.AttachType]map[netip.AddrPort]netip.AddrPort{
		ebpf.AttachCGroupInet4Connect: services, ebpf.AttachCGroupInet6Connect: services,
		ebpf.AttachCgroupInet4GetPeername: back, ebpf.AttachCgroupInet6GetPeername: back,
	} {
		four := attach == ebpf.AttachCGroupInet4Connect || attach == ebpf.AttachCgroupInet4GetPeername
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.CGroupSockAddr, AttachType: attach, Instructions: program(table, four), License: "GPL",
		})
		check(t, err)
		t.Cleanup(func() { _ = p.Close() })
		l, err := link.AttachCgroup(link.CgroupOptions{Path: group, Attach: attach, Program: p})
		check(t, err)
		t.Cleanup(func() { _ = l.Close() })
	}
}

// Where struct bpf_sock_addr has what a socket connects to: addresses and port are in network byte order.
const (
	userIP4  = 4
	userIP6  = 8
	userPort = 24
)

// program replaces the addresses of one family that are in the table. R1 is the struct bpf_sock_addr.
func program(table map[netip.AddrPort]netip.AddrPort, four bool) asm.Instructions {
	var all asm.Instructions
	i := 0
	for from, to := range table {
		if from.Addr().Is4() != four {
			continue
		}
		next := fmt.Sprintf("next%d", i)
		i++
		was, is := words(from), words(to)
		for j, w := range was {
			all = append(all, asm.LoadMem(asm.R2, asm.R1, w.offset, asm.Word), asm.Mov.Imm32(asm.R3, w.value), asm.JNE.Reg32(asm.R2, asm.R3, next))
			if j == 0 && i > 1 {
				all[len(all)-3] = all[len(all)-3].WithSymbol(fmt.Sprintf("next%d", i-2))
			}
		}
		for _, w := range is {
			all = append(all, asm.Mov.Imm32(asm.R3, w.value), asm.StoreMem(asm.R1, w.offset, asm.R3, asm.Word))
		}
		all = append(all, asm.Ja.Label("end"))
	}
	end := asm.Mov.Imm(asm.R0, 1) // 1 lets the connect go on
	if i > 0 {
		all = append(all, asm.Mov.Imm(asm.R0, 1).WithSymbol(fmt.Sprintf("next%d", i-1)))
	}
	return append(all, end.WithSymbol("end"), asm.Return())
}

// word is a word of struct bpf_sock_addr.
type word struct {
	offset int16
	value  int32
}

func words(a netip.AddrPort) []word {
	var out []word
	start := int16(userIP4)
	if a.Addr().Is6() {
		start = userIP6
	}
	b := a.Addr().AsSlice()
	for i := 0; i < len(b); i += 4 {
		out = append(out, word{start + int16(i), int32(binary.NativeEndian.Uint32(b[i:]))})
	}
	port := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, a.Port()))
	return append(out, word{userPort, int32(port)})
}

// enterCgroup moves the process to a new cgroup below its own, and back when the test ends.
func enterCgroup(t testing.TB) string {
	t.Helper()
	own := ownCgroup(t)
	path, err := os.MkdirTemp(own, "fairlead-test-")
	check(t, err)
	move := func(to string) error {
		return os.WriteFile(filepath.Join(to, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0)
	}
	t.Cleanup(func() {
		check(t, move(own))
		_ = os.Remove(path) // fails while programs that the test has started are still there
	})
	check(t, move(path))
	return path
}

// ownCgroup returns the folder of the process's cgroup (version 2).
func ownCgroup(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	groups, err := os.ReadFile("/proc/self/cgroup")
	check(t, err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			for group := range strings.Lines(string(groups)) {
				if own, found := strings.CutPrefix(strings.TrimSpace(group), "0::"); found {
					return filepath.Join(f[1], own)
				}
			}
		}
	}
	t.Fatal("there is no cgroup of version 2 to attach programs to")
	return ""
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
