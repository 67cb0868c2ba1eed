// Package socketlbtest translates the addresses of Services as Cilium's socket load balancing does: by programs on a cgroup that change the
// address that a socket connects to, and have getpeername show the one that was asked for. It is never linked into a binary.
package socketlbtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// Translate has what this process, and programs that it starts from now on, connect to translated until the test ends: from the address of a
// Service to that of an endpoint of the same family. The process moves to a cgroup of its own, so only one test of a process may do so at a
// time. The test is skipped, loudly, where the kernel does not let programs be attached; with REQUIRE_PRIVILEGED=1 it fails instead.
func Translate(t testing.TB, services map[netip.AddrPort]netip.AddrPort) {
	t.Helper()
	netnstest.Privileged(t)
	detach, err := Attach(services)
	if err != nil && os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatalf("addresses cannot be translated, and REQUIRE_PRIVILEGED=1: %v", err)
	} else if err != nil {
		t.Skipf("SKIPPED: addresses cannot be translated: %v", err)
	}
	t.Cleanup(detach)
}

// Attach is Translate outside of a test.
func Attach(services map[netip.AddrPort]netip.AddrPort) (detach func(), err error) {
	group, leave, err := enterCgroup()
	if err != nil {
		return nil, err
	}
	remove, err := attachTo(group, services)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { remove(); leave() }, nil
}

// AttachEverywhere is Attach for all processes of the machine.
func AttachEverywhere(services map[netip.AddrPort]netip.AddrPort) (detach func(), err error) {
	root, _, err := cgroups()
	if err != nil {
		return nil, err
	}
	return attachTo(root, services)
}

// attachTo has the processes in a cgroup, and in those below it, connect as services says.
func attachTo(group string, services map[netip.AddrPort]netip.AddrPort) (detach func(), err error) {
	var undo []func()
	detach = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			detach()
		}
	}()
	back := map[netip.AddrPort]netip.AddrPort{}
	for service, endpoint := range services {
		back[endpoint] = service
	}
	for attach, table := range map[ebpf.AttachType]map[netip.AddrPort]netip.AddrPort{
		ebpf.AttachCGroupInet4Connect: services, ebpf.AttachCGroupInet6Connect: services,
		ebpf.AttachCgroupInet4GetPeername: back, ebpf.AttachCgroupInet6GetPeername: back,
	} {
		remove, err := attachProgram(group, attach, table)
		if err != nil {
			return nil, err
		}
		undo = append(undo, remove)
	}
	return detach, nil
}

func attachProgram(group string, attach ebpf.AttachType, table map[netip.AddrPort]netip.AddrPort) (remove func(), err error) {
	four := attach == ebpf.AttachCGroupInet4Connect || attach == ebpf.AttachCgroupInet4GetPeername
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupSockAddr, AttachType: attach, Instructions: program(table, four), License: "GPL"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // the link holds it
	l, err := link.AttachCgroup(link.CgroupOptions{Path: group, Attach: attach, Program: p})
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Close() }, nil
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

// enterCgroup moves the process to a new cgroup below its own; leave moves it back.
func enterCgroup() (path string, leave func(), err error) {
	_, own, err := cgroups()
	if err != nil {
		return "", nil, err
	}
	if path, err = os.MkdirTemp(own, "fairlead-test-"); err != nil {
		return "", nil, err
	}
	move := func(to string) error {
		return os.WriteFile(filepath.Join(to, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0)
	}
	leave = func() {
		_ = move(own)
		_ = os.Remove(path) // fails while programs that the test has started are still there
	}
	if err := move(path); err != nil {
		leave()
		return "", nil, err
	}
	return path, leave, nil
}

// cgroups returns the folders of the root of cgroups of version 2 and of the process's own.
func cgroups() (root, own string, err error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", "", err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		for group := range strings.Lines(string(groups)) {
			if path, found := strings.CutPrefix(strings.TrimSpace(group), "0::"); found {
				return f[1], filepath.Join(f[1], path), nil
			}
		}
	}
	return "", "", errors.New("there is no cgroup of version 2")
}
