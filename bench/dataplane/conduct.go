package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"fairlead.dev/fairlead/bench/report"
)

// conduct runs every measure of every candidate, interleaved, and prints what it finds.
func conduct(o options) error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("two cores are needed: one for the load, one for the proxy")
	}
	w, err := newWorld(layoutOf(runtime.NumCPU()))
	if err != nil {
		return err
	}
	defer w.close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := w.start("upstream", w.cores.load, self, "part-upstream"); err != nil {
		return err
	}
	c := conductor{options: o, world: w, out: report.New(report.Options{JSON: o.json, Baseline: "haproxy"}), oneCore: map[string]float64{}}
	if c.all, err = candidates(w, o); err != nil {
		return err
	}
	if err := pin(w.cores.load); err != nil {
		return err
	}
	for c.round = 1; c.round <= o.rounds; c.round++ {
		if err := c.playRound(); err != nil {
			return err
		}
	}
	return c.out.Finish()
}

type conductor struct {
	options
	world *world
	out   *report.Report
	all   []*candidate
	round int
	// half is half of what haproxy reached in its first round, the constant rate of the latency measures.
	half float64
	// oneCore are the latest figures of proxies that may use one core of several, by proxy, bench and metric.
	oneCore map[string]float64
	// pending are the figures of the measurement under way.
	pending []report.Measurement
}

// playRound has the candidates take turns at every measure.
func (c *conductor) playRound() error {
	measures := []func(*candidate) error{c.keepalive, c.constantRate, c.oneConnection}
	if c.full {
		measures = append(measures, c.posts, c.retries, c.newConnections, c.megabytes)
	}
	if c.round == 1 {
		measures = append(measures, c.idle)
	}
	for _, m := range measures {
		if err := c.turns(m, func(cand *candidate) bool { return !cand.several }); err != nil {
			return err
		}
	}
	several := []func(*candidate) error{c.severalCores}
	if c.full {
		several = append(several, c.severalCoresPosts, c.severalCoresFresh)
	}
	for _, m := range several {
		if err := c.turns(m, func(cand *candidate) bool { return cand.several }); err != nil {
			return err
		}
	}
	return nil
}

// turns has each of the candidates that take part measured once.
func (c *conductor) turns(measure func(*candidate) error, takesPart func(*candidate) bool) error {
	for _, cand := range c.all {
		if !takesPart(cand) {
			continue
		}
		if err := redirect(cand.port, strings.HasPrefix(cand.name, "fairlead")); err != nil {
			return err
		}
		if err := c.undisturbed(cand, measure); err != nil {
			return fmt.Errorf("%s: %w", cand.name, err)
		}
	}
	return nil
}

func (c *conductor) say(cand *candidate, bench, metric, unit string, value float64) {
	c.pending = append(c.pending, report.Measurement{Bench: bench, Candidate: cand.name, Metric: metric, Value: value, Unit: unit, Round: c.round})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
