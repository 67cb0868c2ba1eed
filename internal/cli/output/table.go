package output

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/cli-runtime/pkg/printers"
)

// Column is a column of a table.
type Column struct {
	Name string
	// Wide columns are printed with -o wide alone.
	Wide bool
	// Passing columns change as time passes: that alone is no change of a row.
	Passing bool
}

// Columns returns columns by their names; those whose names begin with a plus sign are Wide, and with a tilde, behind that, Passing.
func Columns(names ...string) []Column {
	out := make([]Column, len(names))
	for i, name := range names {
		plain, wide := strings.CutPrefix(name, "+")
		plain, passing := strings.CutPrefix(plain, "~")
		out[i] = Column{plain, wide, passing}
	}
	return out
}

// Row is one object of a table.
type Row struct {
	// Name is the object for -o name, such as retrypolicy.policy.fairlead.dev/payments, and Key distinguishes it from all others.
	Name, Key string
	Cells     []string
	// Event is Added, Modified or Deleted; empty: the row is not watched. Rows that have one are printed with it in a first column EVENT.
	Event string
}

// Table is what a listing found.
type Table struct {
	Columns []Column
	Rows    []Row
	// None is a sentence for people when there are no rows.
	None string
}

// What has become of a row, as kubectl get --watch --output-watch-events says it: it is listed that was not before, it has changed, it is not listed any more.
const (
	Added    = "ADDED"
	Modified = "MODIFIED"
	Deleted  = "DELETED"
)

// Events returns the rows that are not as they were before, were not there, or are not there any more, each with its Event. Those that are gone come last,
// as they were.
func (t *Table) Events(before []Row) (events []Row) {
	was := make(map[string][]string, len(before))
	for i := range before {
		was[before[i].Key] = before[i].Cells
	}
	listed := make(map[string]bool, len(t.Rows))
	add := func(event string, r Row) {
		r.Event = event
		events = append(events, r)
	}
	for _, r := range t.Rows {
		switch old, ok := was[r.Key]; {
		case !ok:
			add(Added, r)
		case !t.same(old, r.Cells):
			add(Modified, r)
		}
		listed[r.Key] = true
	}
	for _, r := range before {
		if !listed[r.Key] {
			add(Deleted, r)
		}
	}
	return events
}

// same reports whether two rows differ at most in what passes.
func (t *Table) same(a, b []string) bool {
	for i, c := range t.Columns {
		if !c.Passing && a[i] != b[i] {
			return false
		}
	}
	return true
}

// Print prints the table, with its head if head says so.
func (t *Table) Print(w io.Writer, wide, head bool) error {
	tabs := printers.GetNewTabWriter(w)
	if head {
		names := Row{Cells: make([]string, len(t.Columns))}
		for i, c := range t.Columns {
			names.Cells[i] = c.Name
		}
		if len(t.Rows) > 0 && t.Rows[0].Event != "" {
			names.Event = "EVENT"
		}
		t.line(tabs, &names, wide)
	}
	for i := range t.Rows {
		t.line(tabs, &t.Rows[i], wide)
	}
	if err := tabs.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (t *Table) line(w io.Writer, r *Row, wide bool) {
	var shown []string
	if r.Event != "" {
		shown = append(shown, r.Event)
	}
	for i, cell := range r.Cells {
		if wide || !t.Columns[i].Wide {
			shown = append(shown, OrDash(Text(cell)))
		}
	}
	fmt.Fprintln(w, strings.TrimRight(strings.Join(shown, "\t"), "\t"))
}

// OrDash returns s, or a dash if it is empty.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
