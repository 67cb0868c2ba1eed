package screen

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/output"
)

const (
	gap = "  "
	// least is to how many characters an elastic column is shortened at most.
	least = 12
)

// layout is how wide each column is; those of width 0 are left out.
type layout struct {
	columns []Column
	widths  []int
}

// layout lays the columns out for all items that the filter lets through, so that they stay where they are while one scrolls.
func (l *List) layout() *layout {
	natural := make([]int, len(l.Columns))
	for i, c := range l.Columns {
		natural[i] = ansi.StringWidth(c.Name)
		for _, n := range l.shown {
			natural[i] = max(natural[i], ansi.StringWidth(text(l.items[n].Cells[i])))
		}
	}
	for {
		t := &layout{l.Columns, slices.Clone(natural)}
		// What is too wide even without all that may be left out ends at the edge of the terminal.
		if t.shorten(l.width-len(gap)) || !drop(l.Columns, natural) {
			return t
		}
	}
}

func (t *layout) total() (n int) {
	for _, w := range t.widths {
		if w > 0 {
			n += w + len(gap)
		}
	}
	return n - len(gap)
}

// shorten shortens elastic columns, the widest first, and reports whether the line fits a width then.
func (t *layout) shorten(width int) bool {
	for over := t.total() - width; over > 0; over-- {
		widest := -1
		for i, c := range t.columns {
			if c.Elastic && t.widths[i] > least && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		t.widths[widest]--
	}
	return true
}

// drop leaves the column out that is the first to go, and reports whether there is one.
func drop(columns []Column, widths []int) bool {
	first := -1
	for i, c := range columns {
		if widths[i] > 0 && c.Drop > 0 && (first < 0 || c.Drop > columns[first].Drop) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	widths[first] = 0
	return true
}

func (t *layout) head() string {
	cells := make([]Cell, len(t.columns))
	for i, c := range t.columns {
		cells[i].Text = c.Name
	}
	return gap + t.row(cells, false)
}

// row is a line of the table.
func (t *layout) row(cells []Cell, coloured bool) string {
	var parts []string
	for i, c := range cells {
		w := t.widths[i]
		if w == 0 {
			continue
		}
		s := ansi.Truncate(text(c), w, "…")
		room := strings.Repeat(" ", max(0, w-ansi.StringWidth(s)))
		if style, ok := colours[c.Mark]; ok && coloured {
			s = style.Styled(s)
		}
		if t.columns[i].Right {
			s, room = room, s
		}
		parts = append(parts, s+room)
	}
	return strings.TrimRight(strings.Join(parts, gap), " ")
}

func text(c Cell) string { return output.OrDash(output.Text(c.Text)) }
