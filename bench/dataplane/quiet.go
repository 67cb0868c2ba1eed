package main

import (
	"fmt"
	"os"
	"time"

	"fairlead.dev/fairlead/bench/process"
)

// foreignShare is the share of the machine's time that others may use while something is measured. Stolen time counts as theirs.
const foreignShare = 0.02

// disturbance tells whether others used the cores between two moments.
type disturbance struct {
	own    []int // processes whose use is the benchmark's
	total  process.Machine
	ours   time.Duration
	moment time.Time
}

func (w *world) watch() (*disturbance, error) {
	d := &disturbance{own: []int{os.Getpid()}, moment: time.Now()}
	for _, p := range w.procs {
		d.own = append(d.own, process.Family(p.Process.Pid)...)
	}
	var err error
	if d.ours, err = process.CPU(d.own...); err != nil {
		return nil, err
	}
	d.total, err = process.ReadMachine()
	return d, err
}

// others returns the share of the machine's time that other processes, or other machines on the same hardware, had since then.
func (d *disturbance) others() (float64, error) {
	ours, err := process.CPU(d.own...)
	if err != nil {
		return 0, err
	}
	total, err := process.ReadMachine()
	if err != nil {
		return 0, err
	}
	foreign := (total.Busy - d.total.Busy) - (ours - d.ours) + (total.Stolen - d.total.Stolen)
	return float64(foreign) / float64(time.Since(d.moment)) / float64(total.Cores), nil
}

// undisturbed measures until nobody else used the cores meanwhile, or patience is at an end. What was measured last is reported, marked
// if it was disturbed.
func (c *conductor) undisturbed(cand *candidate, m measure) error {
	for tries := 0; ; tries++ {
		c.pending = c.pending[:0]
		if m.anew {
			if err := cand.anew(c.world); err != nil {
				return err
			}
		}
		watch, err := c.world.watch()
		if err != nil {
			return err
		}
		if err := m.run(cand); err != nil {
			return err
		}
		others, err := watch.others()
		if err != nil {
			return err
		}
		disturbed := others > foreignShare
		if disturbed && tries < c.patience {
			fmt.Fprintf(os.Stderr, "round %d  %s: others used %.0f%% of the cores; measured again\n", c.round, cand.name, 100*others)
			continue
		}
		for _, m := range c.pending {
			m.Disturbed = disturbed
			c.out.Add(m)
		}
		return nil
	}
}
