package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"fairlead.dev/fairlead/bench/blocks"
)

// addProfile serves CPU profiles beside the allocation count.
func addProfile(mux *http.ServeMux) { mux.HandleFunc("/profile", pprof.Profile) }

// profileEach is for how long each load runs that is profiled. A hundred samples are taken a second.
const profileEach = 15 * time.Second

// profiling are the candidates of which a profile is made: with the usual policy, and with every block that a policy can have.
func profiling(self string) []plan {
	return []plan{
		{"fairlead", 15001, []string{self, "part-fairlead", "15001", "match"}, 0},
		{withBlock + blocks.Everything, 15002, []string{self, "part-fairlead", "15002", blockArgument + blocks.Everything}, 0},
	}
}

// profiled writes one CPU profile of all candidates under load, GET and POST in turn.
func (c *conductor) profiled() error {
	var all []*profile.Profile
	for _, cand := range c.all {
		if err := redirect(cand); err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			p, err := fetchProfile(cand.port, 2*profileEach)
			all = append(all, p)
			done <- err
		}()
		for _, l := range []load{keepalive, {path: "/", conns: connections, body: 1 << 10}} {
			l.duration = profileEach
			if _, err := l.run(); err != nil {
				return err
			}
		}
		if err := <-done; err != nil {
			return err
		}
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return err
	}
	return saveProfile(merged, c.profile)
}

// fetchProfile takes a CPU profile of a candidate.
func fetchProfile(port int, d time.Duration) (*profile.Profile, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/profile?seconds=%d", port+1000, int(d.Seconds())))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return profile.Parse(resp.Body)
}

// saveProfile writes a profile as it is kept with the agent's sources, for the compiler: without what it says of the machine and the build, and without
// the time of system calls. They are four fifths of all, so that what leads to one would be all that the compiler takes for hot.
func saveProfile(p *profile.Profile, file string) error {
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	p.TimeNanos = 0
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool { return isSystemCall(s.Location[0].Line[0].Function.Name) })
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := p.Compact().Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// isSystemCall reports whether a function is one that makes system calls.
func isSystemCall(name string) bool {
	return strings.HasPrefix(name, "internal/runtime/syscall/") || name == "runtime.futex" || name == "runtime.usleep"
}
