package top

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/liveapi"
)

// view is the inventory on a terminal.
type view struct {
	// immutable
	flags *flags
	ask   func() (*liveapi.Inventory, error)

	list    screen.List
	got     *liveapi.Inventory
	order   int // of sortings
	reverse bool
	paused  bool
	failed  error // why the figures are not those of now
}

// view shows the inventory until somebody ends it. What cannot be asked at first is an error; later it is waited for.
func (f *flags) view(ctx context.Context, env *kube.Env, from *source) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	inventory := func() (*liveapi.Inventory, error) { return f.figures(ctx, from, max(f.limit, maxFlows)) }
	first, err := inventory()
	if err != nil {
		return ended(ctx, err)
	}
	return screen.Run(ctx, env.In, env.Terminal, newView(f, from.namespace, first, inventory))
}

func newView(f *flags, namespace string, first *liveapi.Inventory, inventory func() (*liveapi.Inventory, error)) *view {
	v := &view{flags: f, ask: inventory, order: slices.Index(orders(), f.sorted)}
	where := "namespace " + namespace
	if namespace == "" {
		where = "all namespaces"
	}
	if f.selector != "" {
		where += " with " + f.selector
	}
	v.list = screen.List{
		Title: "fairlead top: calls of " + where + " in " + f.since.String(),
		None:  "No calls that a policy governs or a dry run looks at.",
		Columns: []screen.Column{
			{Name: "WORKLOAD", Elastic: true}, {Name: "DESTINATION", Elastic: true}, {Name: "PROTOCOL", Drop: 3}, {Name: "RPS", Right: true},
			{Name: "SUCCESS", Right: true}, {Name: "RETRIES", Right: true}, {Name: "P50", Right: true, Drop: 2}, {Name: "P99", Right: true},
			{Name: "BREAKER", Drop: 1},
		},
		Keys:    []screen.Key{{Key: "s", Does: "sort"}, {Key: "r", Does: "reverse"}, {Key: "space", Does: "pause"}},
		Details: v.details,
	}
	v.have(first)
	return v
}

// answered is what the manager has answered, and again says that it is time to ask.
type (
	answered struct {
		got *liveapi.Inventory
		err error
	}
	again struct{}
)

// Init implements tea.Model.
func (v *view) Init() tea.Cmd { return v.later() }

func (v *view) later() tea.Cmd {
	return tea.Tick(v.flags.every, func(time.Time) tea.Msg { return again{} })
}

// Update implements tea.Model.
func (v *view) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if cmd, used := v.list.Update(msg); used {
		return v, cmd
	}
	switch m := msg.(type) {
	case again:
		if v.paused {
			return v, v.later()
		}
		return v, func() tea.Msg {
			got, err := v.ask()
			return answered{got, err}
		}
	case answered:
		if v.failed = m.err; m.err == nil && !v.paused {
			v.have(m.got)
		}
		v.show()
		return v, v.later()
	case tea.KeyPressMsg:
		v.press(m.String())
	}
	return v, nil
}

func (v *view) press(key string) {
	switch key {
	case "s":
		v.order = (v.order + 1) % len(sortings)
	case "S":
		v.order = (v.order + len(sortings) - 1) % len(sortings)
	case "r":
		v.reverse = !v.reverse
	case "space", "p":
		v.paused = !v.paused
	}
	v.show()
}

// View implements tea.Model.
func (v *view) View() tea.View { return v.list.View() }

// have takes what the manager has answered.
func (v *view) have(got *liveapi.Inventory) {
	v.got = got
	v.show()
}

// show sorts the flows, and shows them.
func (v *view) show() {
	by := sortings[v.order]
	v.list.State = "by " + by.name + ", " + v.got.To.Local().Format(time.TimeOnly)
	if v.reverse {
		v.list.State = "by " + by.name + " reversed, " + v.got.To.Local().Format(time.TimeOnly)
	}
	if v.paused {
		v.list.State += ", paused"
	}
	slices.SortStableFunc(v.got.Flows, func(a, b liveapi.Flow) int {
		n := cmp.Or(by.less(&a, &b), cmp.Compare(keyOf(&a), keyOf(&b)))
		if v.reverse {
			return -n
		}
		return n
	})
	items := make([]screen.Item, len(v.got.Flows))
	for i := range v.got.Flows {
		items[i] = v.item(&v.got.Flows[i])
	}
	v.list.Note = v.note()
	v.list.Set(items)
}

// note says what the list does not.
func (v *view) note() string {
	switch {
	case v.failed != nil:
		return "not of now: " + v.failed.Error()
	case v.got.LeftOut > 0:
		return fmt.Sprintf("%d more with %d calls", v.got.LeftOut, v.got.LeftOutCalls)
	case v.got.Other.Calls > 0:
		return fmt.Sprintf("%d calls of all namespaces are not counted apart", v.got.Other.Calls)
	}
	return ""
}

// keyOf distinguishes a flow from all others.
func keyOf(w *liveapi.Flow) string {
	return w.Namespace + "\x00" + w.Workload + "\x00" + w.Destination + "\x00" + w.Protocol + "\x00" + w.Policy + "\x00" + w.Target
}

func (v *view) item(w *liveapi.Flow) screen.Item {
	c := cells(w)
	workload := c[1]
	if v.flags.all {
		workload = c[0] + "/" + c[1]
	}
	out := screen.Item{Key: keyOf(w)}
	for _, text := range append([]string{workload}, c[2:10]...) {
		out.Cells = append(out.Cells, screen.Cell{Text: text})
	}
	out.Cells[4].Mark = successMark(w)
	out.Cells[8].Mark = map[string]screen.Mark{"open": screen.Bad, "half_open": screen.Warning, "closed": screen.Good}[w.Breaker]
	return out
}

// successMark is a colour for the success of calls: less than 99 % is worth a look, less than 90 % more so.
func successMark(w *liveapi.Flow) screen.Mark {
	switch s := share(w.Successes, w.Calls); {
	case s < 0.9:
		return screen.Bad
	case s < 0.99:
		return screen.Warning
	}
	return screen.Plain
}

// details are all about a flow.
func (v *view) details(key string) (string, []string) {
	i := slices.IndexFunc(v.got.Flows, func(w liveapi.Flow) bool { return keyOf(&w) == key })
	if i < 0 {
		return "fairlead top", []string{"There were no such calls lately."}
	}
	w := &v.got.Flows[i]
	c := cells(w)
	rows := [][2]string{
		{"Namespace", w.Namespace}, {"Workload", w.Workload}, {"Destination", w.Destination}, {"Service", w.Service}, {"Protocol", w.Protocol},
		{"Policy", w.Policy}, {"Its target", w.Target}, {"Breaker", w.Breaker},
		{"", ""},
		{"Calls", strconv.FormatUint(w.Calls, 10) + " in " + v.got.To.Sub(v.got.From).Round(time.Second).String() + ", " + c[4] + " per second"},
		{"Success", output.OrDash(c[5]) + ", " + output.Count(int(w.Calls-min(w.Calls, w.Successes)), "failure", "failures")},
		{"Retries", strconv.FormatUint(w.Retries, 10) + ", " + output.OrDash(c[6]) + " of the calls"},
		{"Half in", output.OrDash(c[7])}, {"99 of 100 in", output.OrDash(c[8])},
	}
	var lines []string
	for _, r := range rows {
		if r[0] == "" {
			lines = append(lines, "")
			continue
		}
		lines = append(lines, fmt.Sprintf("%-13s %s", r[0]+":", output.OrDash(r[1])))
	}
	return w.Namespace + "/" + w.Workload + " to " + w.Destination, lines
}
