package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/bench/process"
)

// candidate is one way to reach the upstream.
type candidate struct {
	name string
	port int // where its proxy listens; 0: none
	pids []int
	// memory answers the process's allocation count; nil where there is none to read.
	mallocs func() (uint64, error)
}

// usage is what a candidate has used since it started.
type usage struct {
	cpu     time.Duration
	mallocs uint64
}

func (c *candidate) usage() (u usage, err error) {
	if u.cpu, err = process.CPU(c.pids...); err != nil || c.mallocs == nil {
		return u, err
	}
	u.mallocs, err = c.mallocs()
	return u, err
}

// candidates starts every proxy that o asks for and waits until it answers.
func candidates(w *world, o options) ([]*candidate, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	haproxy := filepath.Join(w.dir, "haproxy.cfg")
	nginx := filepath.Join(w.dir, "nginx.conf")
	if err := os.WriteFile(haproxy, []byte(proxyConfig(haproxyConfig, 15003)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(nginx, []byte(proxyConfig(nginxConfig, 15004)), 0o600); err != nil {
		return nil, err
	}
	plans := []struct {
		name string
		port int
		args []string
	}{
		{"direct", 0, nil},
		{"fairlead", 15001, []string{self, "part-fairlead", "15001", "match"}},
		{"fairlead-nomatch", 15002, []string{self, "part-fairlead", "15002", "nomatch"}},
		{"haproxy", 15003, []string{"haproxy", "-db", "-f", haproxy}},
		{"nginx", 15004, []string{"nginx", "-p", w.dir, "-c", nginx}},
		{"nethttp", 15005, []string{self, "part-nethttp", "15005"}},
	}
	var all []*candidate
	for _, p := range plans {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+p.name+",") {
			continue
		}
		c := &candidate{name: p.name, port: p.port}
		if p.port != 0 {
			cmd, err := w.start(p.name, proxyCore, p.args...)
			if err != nil {
				return nil, fmt.Errorf("start %s: %w", p.name, err)
			}
			if err := waitListening(p.port); err != nil {
				log, _ := os.ReadFile(filepath.Join(w.dir, p.name+".log"))
				return nil, fmt.Errorf("%s did not start: %w\n%s", p.name, err, log)
			}
			c.pids = process.Family(cmd.Process.Pid)
		}
		if p.name == "fairlead" || p.name == "nethttp" {
			c.mallocs = func() (uint64, error) { return readCount(p.port+1000, "/mallocs") }
		}
		all = append(all, c)
	}
	return all, nil
}

func waitListening(port int) error {
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return nil
		}
	}
	return err
}

func readCount(port int, path string) (uint64, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var n uint64
	_, err = fmt.Fscan(resp.Body, &n)
	return n, err
}

// serveMallocs lets the conductor read this process's allocation count, and collect garbage before memory is measured.
func serveMallocs(port string) {
	n, err := strconv.Atoi(port)
	if err != nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mallocs", func(rw http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintln(rw, m.Mallocs)
	})
	addProfile(mux)
	go func() { _ = http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", n+1000), mux) }()
}
