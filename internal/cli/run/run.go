package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	text "fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/standalone"
	"fairlead.dev/fairlead/internal/standalone/front"
	"fairlead.dev/fairlead/internal/standalone/policies"
)

// runner runs one command.
type runner struct {
	// immutable
	options  *Options
	services []policies.Service
	maps     []portMap
	engine   *standalone.Engine
	front    *front.Front
	out      *output

	files []policies.File // that were read last; of the loop in work
}

// run runs the command and returns how it has ended, an *ExitError unless that was well.
func (o *Options) run(errs io.Writer) error {
	r := &runner{options: o, out: &output{to: errs, quiet: o.Quiet}}
	var err error
	if r.services, err = policies.ParseServices(o.Services); err != nil {
		return err
	}
	if r.maps, err = parseMaps(o.Maps); err != nil {
		return err
	}
	files, set, problems := o.read(r.services)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	r.files = files
	log, closeLog, err := r.openAccessLog()
	if err != nil {
		return err
	}
	defer closeLog()
	r.engine, err = standalone.New(standalone.Options{
		Services: r.services, Namespace: o.Namespace, AccessLog: log, Log: slog.New(slog.NewTextHandler(r.out, nil)),
	})
	if err != nil {
		return err
	}
	if err := r.engine.Install(set.Snapshot); err != nil {
		return err
	}
	r.out.say("%s", inForce(set))
	r.out.sayAll(set.Warnings)
	r.front = &front.Front{Server: r.engine, Resolver: r.engine, Failed: func(why string) { r.out.say("%s", why) }}
	return r.work()
}

// inForce is a sentence about what was read.
func inForce(s *policies.Set) string {
	said := fmt.Sprintf("%d policies in force", s.Policies)
	if s.Policies == 1 {
		said = "1 policy in force"
	}
	if s.DryRuns > 0 {
		said += fmt.Sprintf(", of which %d only look on (mode: DryRun)", s.DryRuns)
	}
	if s.Unselected > 0 {
		said += fmt.Sprintf("; %d select others than --labels and --namespace say", s.Unselected)
	}
	return said
}

// openAccessLog opens what --access-log says; nil: nothing.
func (r *runner) openAccessLog() (io.Writer, func(), error) {
	switch name := r.options.AccessLog; name {
	case "":
		return nil, func() {}, nil
	case "-":
		return text.NewWriter(r.out), func() {}, nil // paths of calls may have what a terminal acts on
	default:
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) // it has the paths of calls in it
		if err != nil {
			return nil, nil, fmt.Errorf("--access-log %s: %w", name, bare(err))
		}
		return f, func() { _ = f.Close() }, nil
	}
}

// work runs the command with everything that it needs around it.
func (r *runner) work() error {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { r.engine.Run(ctx) })
	if err := r.serveMetrics(ctx, &running); err != nil {
		return err
	}
	p, err := r.open()
	if err != nil {
		return err
	}
	began := time.Now()
	exit, err := r.command(p)
	if err != nil {
		p.Close()
		return err
	}
	r.drain(p)
	if !r.options.Quiet {
		totals := r.engine.Figures()
		_ = totals.Write(r.out, time.Since(began)) // standard error is gone if this fails
	}
	if exit != 0 {
		return &ExitError{exit}
	}
	return nil
}

// drain ends what is left of the command's connections.
func (r *runner) drain(p place) {
	ctx, stop := context.WithTimeout(context.Background(), r.options.Drain)
	defer stop()
	if err := r.engine.Shutdown(ctx); err != nil && r.options.Drain > 0 {
		r.out.say("connections that outlived the command were cut after %s; --drain waits for longer", r.options.Drain)
	}
	p.Close()
}

// serveMetrics serves what --listen-metrics asks for.
func (r *runner) serveMetrics(ctx context.Context, running *sync.WaitGroup) error {
	if r.options.Metrics == "" {
		return nil
	}
	l, err := net.Listen("tcp", r.options.Metrics)
	if err != nil {
		return fmt.Errorf("--listen-metrics %s: %w", r.options.Metrics, err)
	}
	r.out.say("metrics are at http://%s/metrics", l.Addr())
	s := &http.Server{Handler: r.engine.Pages(), ReadHeaderTimeout: 10 * time.Second}
	running.Go(func() { _ = s.Serve(l) }) // ends by Close
	running.Go(func() {
		<-ctx.Done()
		_ = s.Close()
	})
	return nil
}
