// Command fairness measures what one pod's flood costs another pod whose calls go through the same agent. The agent's data plane has one core; the pods
// and their servers have another. In turns the quiet pod calls at a constant rate while the other one is silent, and while it floods.
package main

import (
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
}

// flood is what the other pod does meanwhile.
type flood struct {
	name  string
	conns int
	rate  float64 // calls per second in all, as a multiple of the quiet pod's; 0: each connection calls when it has its answer
	fresh bool    // a connection for each call
}

var floods = []flood{
	{name: "100 × the calls", conns: 64, rate: 100},
	{name: "64 connections, as fast as they go", conns: 64},
	{name: "1,000 connections, as fast as they go", conns: 1000},
	{name: "new connections, 64 at a time", conns: 64, fresh: true},
}

func conduct(o options) error {
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf("%-40s %28s %28s %7s %9s\n", "p50/p99 of the quiet pod, µs", "alone", "beside the flood", "ratio", "flood/s")
	for _, f := range floods {
		if o.only != "" && f.name != o.only {
			continue
		}
		if err := w.compare(f, o); err != nil {
			return err
		}
	}
	return nil
}

// compare measures the quiet pod alone and beside a flood, in turns, through the agent and past it.
func (w *world) compare(f flood, o options) error {
	var through, past [2]latencies
	calls := 0.0
	for range o.rounds {
		for i := range 2 {
			stop := func() (float64, error) { return 0, nil }
			if i == 1 {
				var err error
				if stop, err = w.flood(f, o.rate); err != nil {
					return err
				}
			}
			if err := w.quiet(w.proxy.quiet, o, &through[i]); err != nil {
				return err
			}
			if err := w.quiet(w.quietServer, o, &past[i]); err != nil {
				return err
			}
			rate, err := stop()
			if err != nil {
				return err
			}
			calls += rate / float64(o.rounds)
		}
	}
	through[0].compare(f.name, &through[1], calls)
	past[0].compare("  past the agent", &past[1], calls)
	return nil
}
