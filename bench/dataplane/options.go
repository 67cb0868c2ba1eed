package main

import (
	"flag"
	"time"
)

// options are what the conductor measures.
type options struct {
	rounds   int
	duration time.Duration
	json     bool
	full     bool
	only     string
	measures string
	profile  string
	// patience is how many times a disturbed measurement is repeated before it is reported as disturbed.
	patience int
}

func parseOptions(args []string) (o options, inside bool) {
	fs := flag.NewFlagSet("dataplane", flag.ExitOnError)
	fs.IntVar(&o.rounds, "rounds", 12, "rounds; candidates take turns in each")
	fs.DurationVar(&o.duration, "duration", time.Second, "length of one measurement")
	fs.BoolVar(&o.json, "json", false, "print JSON lines only")
	fs.BoolVar(&o.full, "full", false, "every measure instead of the keep-alive ones")
	fs.StringVar(&o.only, "only", "", "comma-separated candidates")
	fs.StringVar(&o.measures, "measures", "", "comma-separated measures, as the table names them")
	fs.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the fairlead candidate to this file")
	fs.IntVar(&o.patience, "patience", 3, "how many times a measurement is repeated that other processes disturbed")
	fs.BoolVar(&inside, "inside", false, "already in the namespace (the program sets this itself)")
	_ = fs.Parse(args)
	return o, inside
}
