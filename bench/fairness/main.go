// Command fairness measures what one pod's flood costs another pod whose calls go through the same agent. The agent's data plane has one core; the pods
// and their servers have another, on which the quiet pod and its server go before the flood's (SCHED_FIFO, so it needs root). In turns the quiet pod calls at
// a constant rate while the other one is silent, and while it floods.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fairness:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 2 {
		if part, ok := parts[os.Args[1]]; ok {
			return part(os.Args[2:])
		}
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how many times everything is measured")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "how long each measurement takes")
	flag.Float64Var(&o.rate, "rate", 200, "calls per second of the quiet pod")
	flag.StringVar(&o.only, "only", "", "the flood that is measured, by its name (default all)")
	flag.BoolVar(&o.judge, "judge", false, "measure the floods alone that the goal is for, and fail where it is missed")
	flag.Parse()
	if os.Getenv(placed) == "" {
		return replace()
	}
	return conduct(o)
}

type options struct {
	rounds   int
	duration time.Duration
	rate     float64
	only     string
	judge    bool
}

// flood is what the other pod does meanwhile.
type flood struct {
	name    string
	callers int
	rate    float64 // calls per second in all, as a multiple of the quiet pod's; 0: each caller calls when it has its answer
	opens   int     // how many connections each caller opens for a call each, before it closes them and begins anew; 0: it keeps one
	bounded bool    // the goal is for it
}

var floods = []flood{
	{name: "100 × the calls", callers: 64, rate: 100, bounded: true},
	{name: "5,000 connections, opened again and again", callers: 50, opens: 100, bounded: true},
	{name: "5,000 connections, kept", callers: 5000, rate: 5, bounded: true},
	{name: "64 connections, as fast as they go", callers: 64},
	{name: "1,000 connections, as fast as they go", callers: 1000},
	{name: "new connections, 64 at a time", callers: 64, opens: 1},
}

func conduct(o options) error {
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf(heading, "p50/p99 of the quiet pod, µs", "alone", "beside the flood", "ratio", "errors", "flood/s")
	var missed error
	for _, f := range floods {
		if o.only != "" && f.name != o.only || o.judge && !f.bounded {
			continue
		}
		c, err := w.compare(f, o)
		if err != nil {
			return err
		}
		if o.judge {
			missed = errors.Join(missed, c.missed())
		}
	}
	return missed
}

// compare measures the quiet pod alone and beside a flood, in turns, through the agent, of which it returns the comparison, and past it.
func (w *world) compare(f flood, o options) (comparison, error) {
	var through, past [2]samples
	calls := 0.0
	for range o.rounds {
		for i, begin := range []beginning{silence, func() (ending, error) { return w.flood(f, o.rate) }} {
			stop, err := begin()
			if err != nil {
				return comparison{}, err
			}
			if err := w.both(&through[i], &past[i], o); err != nil {
				return comparison{}, err
			}
			rate, err := stop()
			if err != nil {
				return comparison{}, err
			}
			calls += rate / float64(o.rounds)
		}
	}
	c := comparison{f.name, through[0], through[1]}
	c.print(calls)
	comparison{"  past the agent", past[0], past[1]}.print(calls)
	return c, nil
}

// beginning has the other pod begin with what it does, until ending, which returns its calls per second.
type (
	beginning func() (ending, error)
	ending    func() (float64, error)
)

// silence is what the other pod does otherwise.
func silence() (ending, error) {
	return func() (float64, error) { return 0, nil }, nil
}

// both measures the quiet pod through the agent and past it.
func (w *world) both(through, past *samples, o options) error {
	one, err := w.quiet(w.proxy.quiet, o)
	if err != nil {
		return err
	}
	other, err := w.quiet(w.quietServer, o)
	if err != nil {
		return err
	}
	*through, *past = append(*through, one), append(*past, other)
	return nil
}
