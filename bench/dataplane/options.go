package main

import (
	"flag"
	"path/filepath"
	"time"
)

// options are what the conductor measures.
type options struct {
	rounds   int
	duration time.Duration
	json     bool
	full     bool
	blocks   bool // measure what each block of a policy costs, and nothing else
	only     string
	measures string
	profile  string
	// also are files of this program built from other versions of fairlead.
	also []string
	// bulk is how many MiB a bulk answer has.
	bulk int
	// patience is how many times a disturbed measurement is repeated before it is reported as disturbed.
	patience int
}

func parseOptions(args []string) (o options, inside bool) {
	fs := flag.NewFlagSet("dataplane", flag.ExitOnError)
	fs.IntVar(&o.rounds, "rounds", 12, "rounds; candidates take turns in each")
	fs.DurationVar(&o.duration, "duration", time.Second, "length of one measurement")
	fs.BoolVar(&o.json, "json", false, "print JSON lines only")
	fs.BoolVar(&o.full, "full", false, "every measure of every candidate; otherwise most are of fairlead and haproxy alone")
	fs.BoolVar(&o.blocks, "blocks", false, "only measure what each block of a policy costs, and print that as a table of Markdown")
	fs.StringVar(&o.only, "only", "", "comma-separated candidates")
	fs.StringVar(&o.measures, "measures", "", "comma-separated measures, as the table names them")
	fs.Func("also", "this program built from another version of fairlead, which is measured as fairlead-also-1, and so on", func(file string) error {
		abs, err := filepath.Abs(file) // its parts run in a folder of their own
		o.also = append(o.also, abs)
		return err
	})
	fs.IntVar(&o.bulk, "bulk", 100, "MiB of a bulk answer")
	fs.StringVar(&o.profile, "cpuprofile", "", "measure nothing, and write a CPU profile of fairlead under load to this file, for the compiler")
	fs.IntVar(&o.patience, "patience", 3, "how many times a measurement is repeated that other processes disturbed")
	fs.BoolVar(&inside, "inside", false, "already in the namespace (the program sets this itself)")
	_ = fs.Parse(args)
	return o, inside
}
