package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// raw sends in to an address byte for byte, ends its side, and copies what comes back to out, also while it sends.
func raw(args []string, in io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet("raw", flag.ContinueOnError)
	addr := fs.String("addr", "", "host:port to connect to")
	timeout := fs.Duration("timeout", 10*time.Second, "how long the exchange may take")
	secure := fs.String("tls", "", "speak TLS, verify the server with the roots of the system, and offer this protocol, such as h2")
	if err := fs.Parse(args); err != nil {
		return err
	}
	c, err := connect(*addr, *secure, *timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(*timeout)); err != nil {
		return err
	}
	go func() {
		// A server need not take all of it: then what it answers says why, or how reading ends does.
		if _, err := io.Copy(c, in); err == nil {
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}
	}()
	_, err = io.Copy(out, c)
	return err
}

// connect opens a connection, with TLS if a protocol is to be offered by it.
func connect(addr, protocol string, timeout time.Duration) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	if protocol == "" {
		return d.Dial("tcp", addr)
	}
	return tls.DialWithDialer(d, "tcp", addr, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{protocol}})
}

// dial connects, says nothing, and prints what becomes of the connection: what a port probe sees.
func dial(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("dial", flag.ContinueOnError)
	addr := fs.String("addr", "", "host:port to connect to")
	wait := fs.Duration("wait", time.Second, "how long to wait for something to happen")
	if err := fs.Parse(args); err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", *addr, 5*time.Second)
	if err != nil {
		fmt.Fprintln(out, describeEnd(err))
		return nil
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(*wait)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	fmt.Fprintln(out, "connected,", describeEnd(err))
	return nil
}

func describeEnd(err error) string {
	switch {
	case err == nil:
		return "greeted"
	case errors.Is(err, io.EOF):
		return "ended"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	}
	return err.Error()
}

// kill signals every process of one container: a pod with hostPID plays the crash of another with it.
func kill(args []string) error {
	fs := flag.NewFlagSet("kill", flag.ContinueOnError)
	container := fs.String("container", "", "container ID, as part of the process's cgroup path")
	sig := fs.Int("signal", int(syscall.SIGKILL), "signal number")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *container == "" {
		return errors.New("kill needs -container")
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !inCgroup(pid, *container) {
			continue
		}
		if err := syscall.Kill(pid, syscall.Signal(*sig)); err != nil {
			return fmt.Errorf("signal pid %d: %w", pid, err)
		}
		killed++
	}
	if killed == 0 {
		return fmt.Errorf("no process belongs to container %s", *container)
	}
	fmt.Printf("signalled %d\n", killed)
	return nil
}

func inCgroup(pid int, part string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(b), part)
}

// get prints the body of one GET.
func get(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("get takes one URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(out, resp.Body)
	return err
}
