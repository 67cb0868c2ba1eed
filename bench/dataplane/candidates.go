package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
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
	// several: it may use several cores, and takes part in what is measured there only.
	several bool
	plan    plan
	cmd     *exec.Cmd // nil: it has no process
	// mallocs answers the process's allocation count; nil where there is none to read.
	mallocs func() (uint64, error)
}

// also begins the names of fairlead built from other versions.
const also = "fairlead-also-"

// compared reports whether a candidate is fairlead under a policy, or haproxy.
func (c *candidate) compared() bool {
	return c.name == "fairlead" || strings.HasPrefix(c.name, also) || c.name == "haproxy"
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

// idleMemory is the resident memory of a candidate that does nothing: those written in Go have collected garbage, which they do every two minutes
// by themselves.
func (c *candidate) idleMemory() (int64, error) {
	if c.mallocs != nil {
		if _, err := readCount(c.port+1000, "/collect"); err != nil {
			return 0, err
		}
	}
	return process.Resident(c.pids...)
}

// plan is how a candidate is started.
type plan struct {
	name string
	port int
	args []string
	// threads is how many cores it may use, of those for proxies that use several; 0: the one for the proxy under test.
	threads int
}

// plans lists the candidates, and writes the configuration of those that read one.
func plans(w *world, self string, o options) ([]plan, error) {
	switch {
	case o.profile != "":
		return profiling(self), nil
	case o.blocks:
		return blockPlans(w, self)
	}
	all := []plan{
		{"direct", 0, nil, 0},
		{"fairlead", 15001, []string{self, "part-fairlead", "15001", "match"}, 0},
		{"fairlead-nomatch", 15002, []string{self, "part-fairlead", "15002", "nomatch"}, 0},
		{"haproxy", 15003, []string{"haproxy", "-db", "-f", "haproxy.cfg"}, 0},
		{"nginx", 15004, []string{"nginx", "-p", w.dir, "-c", filepath.Join(w.dir, "nginx.conf")}, 0},
		{"nethttp", 15005, []string{self, "part-nethttp", "15005"}, 0},
	}
	for i, file := range o.also {
		port := 15020 + i
		all = append(all, plan{fmt.Sprint(also, 1+i), port, []string{file, "part-fairlead", fmt.Sprint(port), "match"}, 0})
	}
	configs := map[string]string{"haproxy.cfg": proxyConfig(haproxyConfig, 15003, 1), "nginx.conf": proxyConfig(nginxConfig, 15004, 1)}
	for i, threads := range []int{1, len(w.cores.several)} {
		port := 15010 + 2*i
		config := fmt.Sprintf("haproxy-%d.cfg", threads)
		configs[config] = proxyConfig(haproxyConfig, port+1, threads)
		all = append(all,
			plan{fmt.Sprintf("fairlead/%d", threads), port, []string{self, "part-fairlead", fmt.Sprint(port), "pods"}, threads},
			plan{fmt.Sprintf("haproxy/%d", threads), port + 1, []string{"haproxy", "-db", "-f", config}, threads})
	}
	return all, writeConfigs(w, configs)
}

func writeConfigs(w *world, configs map[string]string) error {
	for name, text := range configs {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// candidates starts every proxy that o asks for and waits until it answers.
func candidates(w *world, o options) ([]*candidate, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	list, err := plans(w, self, o)
	if err != nil {
		return nil, err
	}
	var all []*candidate
	for _, p := range list {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+p.name+",") {
			continue
		}
		c, err := p.start(w)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// logName is the plan's name as that of a file.
func (p *plan) logName() string {
	return strings.NewReplacer("/", "-", " ", "-", ":", "").Replace(p.name)
}

func (p *plan) start(w *world) (*candidate, error) {
	c := &candidate{name: p.name, port: p.port, several: p.threads > 0, plan: *p}
	if p.port == 0 {
		return c, nil
	}
	if strings.HasPrefix(p.name, "fairlead") || p.name == "nethttp" {
		c.mallocs = func() (uint64, error) { return readCount(p.port+1000, "/mallocs") }
	}
	return c, c.launch(w)
}

// anew gives a candidate a process that has done nothing yet: memory that one was given stays with it when what it was for has gone.
func (c *candidate) anew(w *world) error {
	if c.cmd == nil {
		return nil
	}
	w.stop(c.cmd)
	return c.launch(w)
}

func (c *candidate) launch(w *world) (err error) {
	p := &c.plan
	cores := w.cores.proxy
	if c.several {
		cores = w.cores.several
	}
	c.cmd, err = w.start(p.logName(), cores, append([]string{"env", fmt.Sprintf("GOMAXPROCS=%d", max(p.threads, 1))}, p.args...)...)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	if err := waitListening(p.port); err != nil {
		log, _ := os.ReadFile(filepath.Join(w.dir, p.logName()+".log"))
		return fmt.Errorf("%s did not start: %w\n%s", p.name, err, log)
	}
	c.pids = process.Family(c.cmd.Process.Pid)
	return nil
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

// serveMallocs lets the conductor read this process's allocation count, and have it collect garbage before memory is measured.
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
	mux.HandleFunc("/collect", func(rw http.ResponseWriter, _ *http.Request) {
		debug.FreeOSMemory()
		fmt.Fprintln(rw, 0)
	})
	addProfile(mux)
	go func() { _ = http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", n+1000), mux) }()
}
