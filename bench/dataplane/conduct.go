package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/bench/report"
)

// conduct runs every measure of every candidate, interleaved, and prints what it finds.
func conduct(o options) error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("two cores are needed: one for the load, one for the proxy")
	}
	bulkSize = o.bulk << 20
	w, err := newWorld(layoutOf(runtime.NumCPU()))
	if err != nil {
		return err
	}
	defer w.close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := w.start("upstream", w.cores.load, self, "part-upstream", fmt.Sprint(o.bulk)); err != nil {
		return err
	}
	out := report.New(report.Options{JSON: o.json, Against: against, Goals: goals(len(w.cores.several))})
	c := conductor{options: o, world: w, out: out, half: map[string]float64{}}
	if c.all, err = candidates(w, o); err != nil {
		return err
	}
	if err := pin(w.cores.load); err != nil {
		return err
	}
	if o.profile != "" {
		return c.profiled()
	}
	for c.round = 1; c.round <= o.rounds; c.round++ {
		if err := c.playRound(); err != nil {
			return err
		}
	}
	if err := c.out.Finish(); err != nil || !o.blocks || o.json {
		return err
	}
	return c.blockTable()
}

type conductor struct {
	options
	world *world
	out   *report.Report
	all   []*candidate
	round int
	// half is half of what haproxy reached, by the measure's name: the constant rate of the latency measures.
	half map[string]float64
	// pending are the figures of the measurement under way.
	pending []report.Measurement
}

// anewRounds is how many times is measured what needs processes of its own.
const anewRounds = 3

// measure is something that candidates are measured by.
type measure struct {
	name string
	run  func(*candidate) error
	// full: in the long form only; wide: of every candidate in the short form, too; several: for proxies that may use several cores;
	// anew: in the first rounds only, of processes that have done nothing else.
	full, wide, several, anew bool
}

func (c *conductor) measureList() []measure {
	if c.blocks {
		return []measure{{name: blocksBench, run: c.blockCalls, wide: true}}
	}
	return []measure{
		{name: "http1-keepalive", run: c.keepalive, wide: true},
		{name: "http1-constant-rate", run: c.constantRate},
		{name: "http1-one-connection", run: c.oneConnection, wide: true},
		{name: "http1-post", run: c.posts, full: true},
		{name: "http1-retries", run: c.retries, full: true},
		{name: "http1-new-connections", run: c.newConnections},
		{name: "http1-1mib", run: c.megabytes, full: true},
		{name: "http1-bulk", run: c.bulk},
		{name: "http1-bulk-upload", run: c.bulkUploads, full: true},
		{name: "http2-unary", run: c.streams},
		{name: "http2-constant-rate", run: c.streamsAtRate},
		{name: "http2-bulk", run: c.bulkStreams},
		{name: "http2-bulk-upload", run: c.bulkStreamUploads, full: true},
		{name: "grpc-unary", run: c.grpcCalls},
		{name: "grpc-constant-rate", run: c.grpcAtRate},
		{name: "tls-originate", run: c.originated},
		{name: "tls-originate-constant-rate", run: c.originatedAtRate},
		{name: "tls-originate-http2", run: c.originatedStreams},
		{name: "opaque-bulk", run: c.opaqueBulk},
		{name: "idle-connections", run: c.idle, anew: true},
		{name: "idle-websockets", run: c.idleWebSockets, anew: true},
		{name: "http1-several-cores", run: c.severalCores, several: true},
		{name: "http1-several-cores-post", run: c.severalCoresPosts, full: true, several: true},
		{name: "http1-several-cores-new-connections", run: c.severalCoresFresh, full: true, several: true},
	}
}

// wanted reports whether a measure's turn has come in this round.
func (c *conductor) wanted(m measure) bool {
	switch {
	case m.anew && c.round > anewRounds:
		return false
	case c.measures != "":
		return slices.Contains(strings.Split(c.measures, ","), m.name)
	}
	return c.full || !m.full
}

// playRound has the candidates take turns at every measure.
func (c *conductor) playRound() error {
	for _, m := range c.measureList() {
		if c.wanted(m) {
			if err := c.turns(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// turns has each of the candidates that take part measured once, in every second round from the last one to the first: what changes in the
// course of a round favours none.
func (c *conductor) turns(m measure) error {
	order := slices.Clone(c.all)
	if c.round%2 == 0 {
		slices.Reverse(order)
	}
	for _, cand := range order {
		if cand.several != m.several || !c.takesPart(cand, m) {
			continue
		}
		if err := redirect(cand); err != nil {
			return err
		}
		if err := c.undisturbed(cand, m); err != nil {
			return fmt.Errorf("%s: %w", cand.name, err)
		}
	}
	return nil
}

// takesPart reports whether a candidate is measured. In the short form most measures are of fairlead and of what it is compared with alone.
func (c *conductor) takesPart(cand *candidate, m measure) bool {
	return c.full || m.wide || m.several || c.only != "" || cand.compared()
}

func (c *conductor) say(cand *candidate, bench, metric, unit string, value float64) {
	c.pending = append(c.pending, report.Measurement{Bench: bench, Candidate: cand.name, Metric: metric, Value: value, Unit: unit, Round: c.round})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
