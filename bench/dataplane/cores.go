package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// layout says which cores do what. With two cores the load and the upstream have one, the proxy under test the other; with more, the
// load has half of them. Where a proxy is measured on several cores, it may use all but the load's, or both where there are but two.
type layout struct {
	load, proxy, several []int
}

func layoutOf(cores int) layout {
	half := cores / 2
	l := layout{load: span(0, half), proxy: span(half, half+1), several: span(half, cores)}
	if len(l.several) < 2 {
		l.several = span(0, cores)
	}
	return l
}

func span(from, to int) (s []int) {
	for i := from; i < to; i++ {
		s = append(s, i)
	}
	return s
}

// pin keeps this process, the load generator, on its cores.
func pin(cores []int) error {
	runtime.GOMAXPROCS(len(cores))
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
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
