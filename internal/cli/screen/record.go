package screen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"fairlead.dev/fairlead/internal/cli/output"
)

// Line is a line of a record. What does not fit behind Lead is continued below Text.
type Line struct {
	Lead, Text string
	Mark       Mark
}

// Show adds lines to a record, and says how what is recorded stands.
type Show func(status string, lines ...Line)

// Record runs work, and has its lines on the terminal while they come, the latest as far as there is room, above a line that says how work stands and for how
// long it has gone on. Nothing is drawn before work shows something. When it has ended all lines stay there, as if they had been printed. It returns the error
// of work, or nil where somebody ends it before.
func Record(ctx context.Context, in io.Reader, out io.Writer, work func(context.Context, Show) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news, done := make(chan recorded), make(chan error, 1)
	go func() {
		defer close(news)
		done <- work(ctx, func(status string, lines ...Line) {
			select {
			case news <- recorded{status, lines}:
			case <-ctx.Done(): // nobody takes it any more
			}
		})
	}()
	first, ok := <-news
	if !ok {
		return <-done
	}
	r := &record{news: news, status: first.status, lines: first.lines, began: time.Now(), colours: colorprofile.Detect(out, os.Environ()) >= colorprofile.ANSI}
	if f, ok := out.(*os.File); ok {
		r.width, r.height, _ = term.GetSize(int(f.Fd())) // where that is not known lines are as long as they are
	}
	drawn := Run(context.WithoutCancel(ctx), in, out, r) // work ends with ctx, and that ends it
	stop()
	err := <-done
	for i := range r.lines {
		fmt.Fprintln(out, strings.Join(r.draw(&r.lines[i]), "\n"))
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(drawn, err)
}

// recorded is what work has shown, and finished says that it has ended.
type (
	recorded struct {
		status string
		lines  []Line
	}
	finished struct{}
	tick     struct{}
)

// record is the model of a Record.
type record struct {
	// immutable
	news    <-chan recorded
	began   time.Time
	colours bool

	status        string
	lines         []Line
	width, height int // 0: it is not known yet
	quits         bool
}

// Init implements tea.Model.
func (r *record) Init() tea.Cmd { return tea.Batch(r.next, r.later()) }

func (r *record) later() tea.Cmd {
	return tea.Tick(time.Second, func(time.Time) tea.Msg { return tick{} })
}

func (r *record) next() tea.Msg {
	if n, ok := <-r.news; ok {
		return n
	}
	return finished{}
}

// Update implements tea.Model.
func (r *record) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		r.width, r.height = m.Width, m.Height
	case recorded:
		r.status, r.lines = m.status, append(r.lines, m.lines...)
		return r, r.next
	case finished:
		r.quits = true
		return r, tea.Quit
	case tick:
		return r, r.later()
	case tea.KeyPressMsg:
		switch m.String() {
		case "q", "ctrl+c":
			r.quits = true
			return r, tea.Quit
		case "ctrl+z":
			return r, tea.Suspend
		}
	}
	return r, nil
}

// View implements tea.Model.
func (r *record) View() tea.View {
	if r.quits || r.width < 1 || r.height < 1 {
		return tea.View{}
	}
	var all []string
	for i := range r.lines {
		all = append(all, r.draw(&r.lines[i])...)
	}
	took := time.Since(r.began).Truncate(time.Second)
	status := faint.Styled(output.Text(r.status)+", "+took.String()) + "  " + bold.Styled("q") + " quit"
	all = append(all[max(0, len(all)-r.height+1):], ansi.Truncate(status, r.width, "…"))
	return tea.View{Content: strings.Join(all, "\n")}
}

// leastText is for how many characters of text there is to be room beside its lead.
const leastText = 20

// draw returns a line as it stands on the terminal: in as many as it takes, indented as its first, or below its lead where there is no room beside it.
func (r *record) draw(l *Line) (out []string) {
	text := output.Text(l.Text)
	plain := strings.TrimLeft(text, " ")
	lead := output.Text(l.Lead) + text[:len(text)-len(plain)]
	width, indent := r.width-ansi.StringWidth(lead), strings.Repeat(" ", ansi.StringWidth(lead))
	switch {
	case r.width < 1:
		width = 0
	case width < leastText && lead != "":
		width, indent = r.width, ""
		out = append(out, faint.Styled(lead))
	}
	for n, part := range strings.Split(ansi.Wrap(plain, width, ""), "\n") {
		if style, ok := colours[l.Mark]; ok && (r.colours || l.Mark == Title) {
			part = style.Styled(part)
		}
		if n == 0 && indent != "" {
			part = faint.Styled(lead) + part
		} else {
			part = indent + part
		}
		out = append(out, part)
	}
	return out
}
