package screen

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/output"
)

// Styles are what the terminal is asked for. Where NO_COLOR is set colours are left out, and these alone are left: bold, faint and reverse.
var (
	bold    = ansi.NewStyle(ansi.AttrBold)
	faint   = ansi.NewStyle(ansi.AttrFaint)
	reverse = ansi.NewStyle(ansi.AttrReverse)
	colours = map[Mark]ansi.Style{
		Good:    ansi.NewStyle(ansi.AttrGreenForegroundColor),
		Warning: ansi.NewStyle(ansi.AttrYellowForegroundColor),
		Bad:     ansi.NewStyle(ansi.AttrRedForegroundColor),
		Title:   bold,
	}
)

// View draws the list, or details.
func (l *List) View() tea.View {
	v := tea.View{AltScreen: true}
	if l.width < 1 || l.height < 1 { // it is not known yet
		return v
	}
	var lines []string
	if l.opened {
		lines = l.drawDetails()
	} else {
		lines = l.drawList()
	}
	last := l.help()
	if l.typing {
		last = "/" + output.Text(l.filter)
		v.Cursor = tea.NewCursor(min(ansi.StringWidth(last), l.width-1), l.height-1)
	}
	for len(lines) < l.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:l.height-1], l.fit(last))
	v.Content = strings.Join(lines, "\n")
	return v
}

// fit shortens a line to the width of the terminal.
func (l *List) fit(s string) string { return ansi.Truncate(s, l.width, "…") }

// heading is the first line.
func (l *List) heading(title string) string {
	title = l.fit(output.Text(title))
	state := output.Text(l.State)
	if room := l.width - ansi.StringWidth(title) - ansi.StringWidth(state); state != "" && room > 0 {
		return bold.Styled(title) + strings.Repeat(" ", room) + faint.Styled(state)
	}
	return bold.Styled(title)
}

func (l *List) note() string {
	parts := []string{}
	if l.filter != "" {
		parts = append(parts, fmt.Sprintf("%d of %d with %q", len(l.shown), len(l.items), output.Text(l.filter)))
	}
	if l.Note != "" {
		parts = append(parts, output.Text(l.Note))
	}
	return l.fit(strings.Join(parts, "; "))
}

func (l *List) drawList() []string {
	t := l.layout()
	lines := []string{l.heading(l.Title), l.note(), faint.Styled(l.fit(t.head()))}
	if len(l.shown) == 0 {
		none := l.None
		if len(l.items) > 0 {
			none = "The filter lets none through: esc takes it away."
		}
		return append(lines, l.fit("  "+none))
	}
	for n := l.top; n < min(l.top+l.rows(), len(l.shown)); n++ {
		cells := l.items[l.shown[n]].Cells
		if n == l.selected {
			text := l.fit("> " + t.row(cells, false))
			lines = append(lines, reverse.Styled(text+strings.Repeat(" ", max(0, l.width-ansi.StringWidth(text)))))
			continue
		}
		lines = append(lines, l.fit("  "+t.row(cells, true)))
	}
	return lines
}

// details are those of the selected item, wrapped to the width of the terminal.
func (l *List) details() (string, []string) {
	title, lines := l.Details(l.key)
	var out []string
	for _, s := range lines {
		out = append(out, strings.Split(ansi.Wrap(output.Text(s), max(1, l.width), ""), "\n")...)
	}
	return title, out
}

func (l *List) drawDetails() []string {
	title, lines := l.details()
	page := max(1, l.height-3)
	from := max(0, min(l.scroll, len(lines)-page))
	more := ""
	if len(lines) > page {
		more = faint.Styled(l.fit(fmt.Sprintf("lines %d to %d of %d", from+1, min(from+page, len(lines)), len(lines))))
	}
	out := []string{l.heading(title), more}
	for _, s := range lines[from:min(from+page, len(lines))] {
		out = append(out, l.fit(s))
	}
	return out
}

// help is the last line.
func (l *List) help() string {
	keys := []Key{{"↑↓", "select"}, {"enter", "details"}, {"/", "filter"}}
	switch {
	case l.opened:
		keys = []Key{{"↑↓", "scroll"}, {"esc", "back"}}
	default:
		keys = append(keys, l.Keys...)
	}
	var parts []string
	for _, k := range append(keys, Key{"q", "quit"}) {
		parts = append(parts, bold.Styled(k.Key)+" "+k.Does)
	}
	return strings.Join(parts, "  ")
}
