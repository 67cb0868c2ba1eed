package tap

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// maxKept is how many calls the view keeps, the latest ones.
	maxKept = 2000
	// takeEvery is how often the view takes what has come.
	takeEvery = 200 * time.Millisecond
)

// title says whose calls are shown.
func title(namespace, pod string) string {
	whose := "all namespaces"
	switch {
	case pod != "":
		whose = "pod " + namespace + "/" + pod
	case namespace != "":
		whose = "namespace " + namespace
	}
	return "fairlead tap: calls of " + whose
}

// view is a tap on a terminal.
type view struct {
	feed      feed
	namespace string // whose calls alone are shown; empty: those of all

	list    screen.List
	lines   []liveapi.TapLine // those that are shown, the latest one last
	held    []liveapi.TapLine // while it is paused, those that have come since
	first   int               // how many were shown before lines[0]
	dropped uint64
	title   string
	unread  []error // why agents are not read
	paused  bool
	ended   bool
	failed  error // why the tap has ended, if it was not to
}

// show shows calls until somebody ends it. Nothing is drawn before an agent has opened its tap: what all refuse is an error alone.
func show(ctx context.Context, env *kube.Env, v *view, lines func(context.Context, func(liveapi.TapLine)) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	end, opened := make(chan error, 1), make(chan struct{}, 1)
	var tapping sync.WaitGroup
	tapping.Go(func() {
		end <- lines(ctx, func(l liveapi.TapLine) {
			v.feed.add(l)
			select {
			case opened <- struct{}{}:
			default: // it is known
			}
		})
	})
	select {
	case <-opened:
	case err := <-end:
		return err
	}
	err := screen.Run(ctx, env.In, env.Terminal, &program{v, end})
	stop()
	tapping.Wait()
	if err == nil {
		err = v.failed
	}
	return err
}

// program is a view with the end of what it shows.
type program struct {
	*view
	end <-chan error
}

// Init implements tea.Model.
func (p *program) Init() tea.Cmd {
	return tea.Batch(later(), func() tea.Msg { return over{<-p.end} })
}

// Update implements tea.Model.
func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) { return p, p.update(msg) }

// View implements tea.Model.
func (p *program) View() tea.View { return p.list.View() }

// take says that it is time to take what has come, and over that no more comes.
type (
	take struct{}
	over struct{ err error }
)

func later() tea.Cmd { return tea.Tick(takeEvery, func(time.Time) tea.Msg { return take{} }) }

func newView(namespace, title string, nodes int) *view {
	v := &view{namespace: namespace, title: title}
	v.list = screen.List{
		None: "No call has ended yet.", Follow: true,
		Columns: []screen.Column{
			{Name: "TIME"}, {Name: "POD", Elastic: true, Drop: 2}, {Name: "CALL", Elastic: true}, {Name: "RESULT"}, {Name: "TOOK", Right: true},
			{Name: "ATTEMPTS", Right: true, Drop: 1}, {Name: "RETRY", Drop: 3},
		},
		Keys:    []screen.Key{{Key: "space", Does: "pause"}, {Key: "end", Does: "latest"}},
		Details: v.details,
	}
	v.of(nodes)
	return v
}

// of has the title say of how many nodes calls are shown.
func (v *view) of(nodes int) { v.list.Title = v.title + ", " + output.Count(nodes, "node", "nodes") }

func (v *view) update(msg tea.Msg) tea.Cmd {
	if cmd, used := v.list.Update(msg); used {
		return cmd
	}
	switch m := msg.(type) {
	case take:
		v.take()
		if !v.ended {
			return later()
		}
	case over:
		v.take()
		if v.ended, v.failed = true, m.err; m.err != nil && len(v.lines) == 0 {
			return tea.Quit // there is nothing to look at, and the error is printed
		}
		v.note()
	case tea.KeyPressMsg:
		if k := m.String(); k == "space" || k == "p" {
			v.paused = !v.paused
			v.take()
		}
	}
	return nil
}

// take shows what has come, or while it is paused keeps it for later.
func (v *view) take() {
	lines, dropped, now := v.feed.take()
	v.dropped += dropped
	if now != nil {
		v.unread = now.unread
		v.of(now.read)
	}
	v.held = append(v.held, lines...)
	if over := len(v.held) - maxKept; over > 0 {
		v.held = v.held[over:]
		v.dropped += uint64(over)
	}
	if !v.paused && len(v.held) > 0 {
		v.lines = append(v.lines, v.held...)
		v.held = nil
		if over := len(v.lines) - maxKept; over > 0 {
			v.lines = slices.Clone(v.lines[over:])
			v.first += over
		}
		items := make([]screen.Item, len(v.lines))
		for i := range v.lines {
			items[i] = v.item(i)
		}
		v.list.Set(items)
	}
	v.note()
}

// note says what the list does not.
func (v *view) note() {
	var parts []string
	if v.failed != nil {
		parts = append(parts, "ended: "+strings.ReplaceAll(v.failed.Error(), "\n", "; "))
	}
	for _, err := range v.unread {
		parts = append(parts, "not read, and asked again: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if v.dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d more calls are not shown: ask for fewer, or raise --rate", v.dropped))
	}
	v.list.Note = strings.Join(parts, "; ")
	switch {
	case v.paused:
		v.list.State = fmt.Sprintf("paused, %d more", len(v.held))
	case v.ended:
		v.list.State = output.Count(len(v.lines), "call", "calls") + ", ended"
	default:
		v.list.State = output.Count(len(v.lines), "call", "calls")
	}
}

// item is the line of the list for lines[i].
func (v *view) item(i int) screen.Item {
	l := &v.lines[i]
	c := l.Call
	decision := c.Decision
	if decision == "not_needed" {
		decision = ""
	}
	return screen.Item{Key: strconv.Itoa(v.first + i), Cells: []screen.Cell{
		{Text: l.At.Local().Format(clock)}, {Text: strings.TrimPrefix(c.Pod, v.namespace+"/")}, {Text: what(c)}, {Text: result(c), Mark: mark(c)}, {Text: seconds(c.TookSeconds)},
		{Text: strconv.Itoa(c.Attempts)}, {Text: decision},
	}}
}

// mark is a colour for how a call has ended: a retry has helped, or it has failed.
func mark(c *liveapi.Call) screen.Mark {
	switch {
	case c.Kind != "response", c.Status >= 500, c.GRPCStatus != "" && c.GRPCStatus != "OK":
		return screen.Bad
	case c.Decision != "not_needed":
		return screen.Warning
	}
	return screen.Plain
}

// details are all about a call.
func (v *view) details(key string) (string, []string) {
	n, err := strconv.Atoi(key)
	if i := n - v.first; err == nil && i >= 0 && i < len(v.lines) {
		return about(&v.lines[i])
	}
	return "fairlead tap", []string{"The call is no longer kept."}
}
