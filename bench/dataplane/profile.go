package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/google/pprof/profile"
)

// addProfile serves CPU profiles beside the allocation count.
func addProfile(mux *http.ServeMux) { mux.HandleFunc("/profile", pprof.Profile) }

// profiled writes a CPU profile of the fairlead candidate under load, GET and POST in turn.
func (c *conductor) profiled() error {
	const each = 5 * time.Second
	done := make(chan error, 1)
	go func() { done <- saveProfile(c.profile, 2*each) }()
	for _, l := range []load{keepalive, {path: "/", conns: connections, body: 1 << 10}} {
		l.duration = each
		if _, err := l.run(); err != nil {
			return err
		}
	}
	return <-done
}

// saveProfile fetches a CPU profile. What it says of the machine and the build is left out: the file is kept with the agent's sources, for the compiler.
func saveProfile(file string, d time.Duration) error {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:16001/profile?seconds=%d", int(d.Seconds())))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p, err := profile.Parse(resp.Body)
	if err != nil {
		return err
	}
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	p.TimeNanos = 0
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := p.Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
