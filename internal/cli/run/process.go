package run

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// reloadEvery is how often it is looked whether files have changed.
	reloadEvery = 500 * time.Millisecond
	// topEvery is how often the live figures are drawn.
	topEvery = time.Second
)

// What shells say of a command that cannot be run.
const (
	notFound      = 127
	notExecutable = 126
	bySignal      = 128
)

// forwarded are the signals that the command gets too. Those of fromTerminal it has from the terminal itself, where it is in the foreground of one.
var (
	forwarded = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}

	fromTerminal = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH}
)

// command runs the command to its end and returns its exit code.
func (r *runner) command(p place) (code int, err error) {
	argv := r.options.Command
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, r.cannotRun(err)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, slices.DeleteFunc(slices.Clone(forwarded), signal.Ignored)...) // what nohup has had ignored stays so for the command too
	defer signal.Stop(signals)
	process, err := p.Start(path, argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, r.cannotRun(err)
	}
	ended := make(chan *os.ProcessState, 1)
	go func() { // ends with the command
		state, _ := process.Wait() // nobody else waits for it
		ended <- state
	}()
	defer r.out.clear()
	return exitCode(r.attend(process, signals, ended)), nil
}

// cannotRun is why a command does not start, with the code that shells give.
func (r *runner) cannotRun(err error) error {
	code := notExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = notFound
	}
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	_, _ = fmt.Fprintf(r.out, "fairlead: %s cannot be run: %v\n", r.options.Command[0], bare(err))
	return &ExitError{code}
}

// attend does what is to be done while the command runs: it passes signals on, reads files again that have changed, and shows figures.
func (r *runner) attend(process *os.Process, signals <-chan os.Signal, ended <-chan *os.ProcessState) *os.ProcessState {
	var reload, top <-chan time.Time
	if editable(r.options.Files) {
		t := time.NewTicker(reloadEvery)
		defer t.Stop()
		reload = t.C
	}
	if r.options.Top && r.out.live() {
		t := time.NewTicker(topEvery)
		defer t.Stop()
		top = t.C
	}
	began := time.Now()
	for {
		select {
		case s := <-signals:
			if !slices.Contains(fromTerminal, s) || !inForeground() {
				_ = process.Signal(s) // it has ended if this fails
			}
		case <-reload:
			r.reload()
		case <-top:
			totals := r.engine.Figures()
			var text bytes.Buffer
			_ = totals.Write(&text, time.Since(began)) // which takes all
			r.out.show(text.Bytes())
		case state := <-ended:
			return state
		}
	}
}

// inForeground reports whether this process, and with it the command, is in the foreground of a terminal, whatever its standard input is.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer func() { _ = tty.Close() }()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// reload puts policies in force that have changed. Where they cannot be, those of before stay.
func (r *runner) reload() {
	now, err := readFiles(r.options.Files)
	if err != nil || same(now, r.files) {
		return // an editor may be about to replace a file
	}
	files, set, problems := r.options.read(r.services)
	if files != nil {
		r.files = files
	}
	if len(problems) == 0 {
		if err := r.engine.Install(set.Snapshot); err != nil {
			problems = []string{err.Error()}
		}
	}
	if len(problems) > 0 {
		r.out.sayAll(problems)
		r.out.say("the policies of before stay in force")
		return
	}
	r.out.say("policies were read again: %s", inForce(set))
	r.out.sayAll(set.Warnings)
}

// exitCode is what shells make of how a process has ended.
func exitCode(s *os.ProcessState) int {
	if s == nil {
		return notExecutable
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return bySignal + int(w.Signal())
	}
	return s.ExitCode()
}
