package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/bench/process"
	"fairlead.dev/fairlead/bench/report"
)

const (
	connections     = 64
	idleConnections = 10_000
	// idleTunnels are fewer: each holds a connection on both sides, and the limit of open files is often 20,000.
	idleTunnels = 4_000
)

// conduct runs every measure of every candidate, interleaved, and prints what it finds.
func conduct(o options) error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("two cores are needed: one for the load, one for the proxy")
	}
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := w.start("upstream", loadCore, self, "part-upstream"); err != nil {
		return err
	}
	all, err := candidates(w, o)
	if err != nil {
		return err
	}
	if err := pin(0); err != nil {
		return err
	}
	c := conductor{options: o, out: report.New(report.Options{JSON: o.json, Baseline: "haproxy"}), all: all}
	for c.round = 1; c.round <= o.rounds; c.round++ {
		if err := c.playRound(); err != nil {
			return err
		}
	}
	return c.out.Finish()
}

// pin keeps the load generator on the load core. The processors the runtime uses follow.
func pin(core int) error {
	runtime.GOMAXPROCS(1)
	var set unix.CPUSet
	set.Set(core)
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, e := range entries {
		var tid int
		if _, err := fmt.Sscan(e.Name(), &tid); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return err
		}
	}
	return nil
}

type conductor struct {
	options
	out   *report.Report
	all   []*candidate
	round int
	// half is half of what haproxy reached in this round, the constant rate of the latency measures.
	half float64
}

func (c *conductor) playRound() error {
	measures := []func(*candidate) error{c.keepalive, c.constantRate, c.oneConnection}
	if c.full {
		measures = append(measures, c.retries, c.newConnections, c.megabytes)
	}
	if c.round == 1 {
		measures = append(measures, c.idle)
	}
	for _, m := range measures {
		for _, cand := range c.all {
			if err := redirect(cand.port, strings.HasPrefix(cand.name, "fairlead")); err != nil {
				return err
			}
			if err := m(cand); err != nil {
				return fmt.Errorf("%s: %w", cand.name, err)
			}
		}
	}
	return nil
}

func (c *conductor) say(cand *candidate, bench, metric, unit string, value float64) {
	c.out.Add(report.Measurement{Bench: bench, Candidate: cand.name, Metric: metric, Value: value, Unit: unit, Round: c.round})
}

// costed runs a load and reports processor time per call and calls per second.
func (c *conductor) costed(cand *candidate, bench string, l load) (loadResult, error) {
	var before, after usage
	l.warm = c.duration / 5
	l.begin = func() (err error) { before, err = cand.usage(); return err }
	l.finish = func() (err error) { after, err = cand.usage(); return err }
	res, err := l.run()
	if err != nil {
		return res, err
	}
	calls := float64(res.calls)
	if cand.port != 0 {
		c.say(cand, bench, "cpu_us_per_request", "us", micros(after.cpu-before.cpu)/calls)
	}
	c.say(cand, bench, "requests_per_second", "1/s", calls/res.elapsed.Seconds())
	if cand.mallocs != nil {
		c.say(cand, bench, "allocs_per_request", "1", float64(after.mallocs-before.mallocs)/calls)
	}
	return res, nil
}

func (c *conductor) keepalive(cand *candidate) error {
	if c.profile != "" && cand.name == "fairlead" {
		done := make(chan error, 1)
		go func() { done <- saveProfile(c.profile) }()
		if _, err := (load{path: "/", conns: connections, duration: 3 * time.Second}).run(); err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
	}
	res, err := c.costed(cand, "http1-keepalive", load{path: "/", conns: connections, duration: c.duration})
	if err != nil {
		return err
	}
	if res.failed > 0 {
		return fmt.Errorf("%d of %d calls failed", res.failed, res.calls)
	}
	if cand.name == "haproxy" || c.half == 0 {
		c.half = float64(res.calls) / res.elapsed.Seconds() / 2
	}
	return nil
}

func (c *conductor) constantRate(cand *candidate) error {
	res, err := load{path: "/", conns: connections, duration: c.duration, rate: c.half, warm: c.duration / 10}.run()
	if err != nil {
		return err
	}
	c.say(cand, "http1-constant-rate", "p50_us", "us", micros(res.quantile(0.5)))
	c.say(cand, "http1-constant-rate", "p99_us", "us", micros(res.quantile(0.99)))
	return nil
}

func (c *conductor) oneConnection(cand *candidate) error {
	res, err := load{path: "/", conns: 1, duration: c.duration / 4, warm: c.duration / 10}.run()
	if err != nil {
		return err
	}
	c.say(cand, "http1-one-connection", "p50_us", "us", micros(res.quantile(0.5)))
	c.say(cand, "http1-one-connection", "p99_us", "us", micros(res.quantile(0.99)))
	return nil
}

func (c *conductor) retries(cand *candidate) error {
	res, err := c.costed(cand, "http1-retries", load{path: "/fail10", conns: connections, duration: c.duration})
	if err != nil {
		return err
	}
	c.say(cand, "http1-retries", "success_percent", "%", 100*float64(res.calls-res.failed)/float64(res.calls))
	return nil
}

func (c *conductor) newConnections(cand *candidate) error {
	_, err := c.costed(cand, "http1-new-connections", load{path: "/", conns: 16, duration: c.duration, fresh: true})
	return err
}

func (c *conductor) megabytes(cand *candidate) error {
	_, err := c.costed(cand, "http1-1mib", load{path: "/mb", conns: 8, duration: c.duration})
	return err
}

// idle measures what an open, idle, captured connection costs.
func (c *conductor) idle(cand *candidate) error {
	if cand.port == 0 {
		return nil
	}
	before, err := process.Resident(cand.pids...)
	if err != nil {
		return err
	}
	n := idleConnections
	if cand.name == "fairlead-nomatch" {
		n = idleTunnels
	}
	closeAll, err := idle(n)
	if err != nil {
		return err
	}
	defer closeAll()
	after, err := process.Resident(cand.pids...)
	if err != nil {
		return err
	}
	c.say(cand, "idle-connections", "bytes_per_idle_connection", "B", float64(after-before)/float64(n))
	c.say(cand, "idle-connections", "resident_mib", "MiB", float64(after)/(1<<20))
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
