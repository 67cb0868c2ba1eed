package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// raw sends in to an address byte for byte, ends its side, and copies what comes back to out.
func raw(args []string, in io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet("raw", flag.ContinueOnError)
	addr := fs.String("addr", "", "host:port to connect to")
	keep := fs.Bool("keep", false, "do not end the sending side after the input")
	timeout := fs.Duration("timeout", 10*time.Second, "how long the exchange may take")
	if err := fs.Parse(args); err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", *addr, *timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(*timeout)); err != nil {
		return err
	}
	if _, err := io.Copy(c, in); err != nil {
		return err
	}
	if !*keep {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	_, err = io.Copy(out, c)
	return err
}

// kill signals every process whose executable file is called name: a pod with hostPID plays the crash of another with it.
func kill(args []string) error {
	fs := flag.NewFlagSet("kill", flag.ContinueOnError)
	name := fs.String("name", "", "base name of the executable")
	sig := fs.Int("signal", int(syscall.SIGKILL), "signal number")
	parent := fs.String("child-of-cgroup", "", "only processes whose cgroup path contains this")
	if err := fs.Parse(args); err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || filepath.Base(exe) != *name || !inCgroup(pid, *parent) {
			continue
		}
		if err := syscall.Kill(pid, syscall.Signal(*sig)); err != nil {
			return fmt.Errorf("signal pid %d: %w", pid, err)
		}
		killed++
	}
	if killed == 0 {
		return fmt.Errorf("no process runs an executable called %q", *name)
	}
	fmt.Printf("signalled %d\n", killed)
	return nil
}

func inCgroup(pid int, part string) bool {
	if part == "" {
		return true
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(b), part)
}
