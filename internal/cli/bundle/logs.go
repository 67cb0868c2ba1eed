package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

// maxLog bounds one log, in bytes.
const maxLog = 1 << 20

// Logs reads the log of a container; previous is that of the one before it was restarted.
type Logs func(ctx context.Context, pod *corev1.Pod, o *corev1.PodLogOptions) (io.ReadCloser, error)

// log is that of a container.
type log struct {
	pod     *corev1.Pod
	options *corev1.PodLogOptions
	text    []byte
	cut     bool // its beginning is left out
	err     error
}

// logs gathers the logs of managers and of as many agents as are asked.
func (g *gatherer) logs(ctx context.Context, read Logs) {
	managers, err := g.env.ManagerPods(ctx, g.client)
	if err != nil {
		g.miss("logs", err)
		return
	}
	agents, err := g.env.AgentPods(ctx, g.client)
	if err != nil {
		g.miss("logs of agents", err)
	}
	pods := slices.Concat(managers, agents[:min(len(agents), g.limits.agents)])
	var all []log
	for i := range pods {
		for _, c := range pods[i].Status.ContainerStatuses {
			all = append(all, log{pod: &pods[i], options: g.options(c.Name, false)})
			if c.RestartCount > 0 {
				all = append(all, log{pod: &pods[i], options: g.options(c.Name, true)})
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range all {
		group.Go(func() error {
			g.read(ctx, read, &all[i])
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	for i := range all {
		g.addLog(&all[i])
	}
}

// options asks for the last lines. A limit of bytes would leave out the newest of them.
func (g *gatherer) options(container string, previous bool) *corev1.PodLogOptions {
	lines := g.limits.lines
	return &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &lines, Timestamps: true}
}

// read reads a log for as long as a request may take.
func (g *gatherer) read(ctx context.Context, read Logs, l *log) {
	within, stop := context.WithTimeout(ctx, eachRequest)
	defer stop()
	from, err := read(within, l.pod, l.options)
	if err == nil {
		defer from.Close()
		l.text, l.cut, err = tail(from, maxLog)
	}
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("it has not come within %s", eachRequest)
	}
	l.err = err
}

// tail reads whole lines, and keeps the last of them that have so many bytes at most. cut: others were left out. What was read before an error is returned
// with it.
func tail(from io.Reader, most int) (text []byte, cut bool, err error) {
	chunk := make([]byte, 32<<10)
	for err == nil {
		var n int
		n, err = from.Read(chunk)
		if text = append(text, chunk[:n]...); len(text) > 2*most {
			text, cut = append(text[:0], text[len(text)-most:]...), true
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(text) > most {
		text, cut = text[len(text)-most:], true
	}
	if cut {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	if err != nil {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	return text, cut, err
}

func (g *gatherer) addLog(l *log) {
	name := "logs/" + l.pod.Name + "/" + l.options.Container
	if l.options.Previous {
		name += ".previous"
	}
	name += ".log"
	if l.err != nil {
		g.miss(name, l.err)
	}
	if l.err == nil || len(l.text) > 0 {
		g.addCut(name, "pod "+l.pod.Name, l.text, l.cut)
	}
}
