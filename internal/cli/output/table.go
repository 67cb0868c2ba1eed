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
}

// Columns returns columns by their names; those whose names begin with a plus sign are Wide.
func Columns(names ...string) []Column {
	out := make([]Column, len(names))
	for i, name := range names {
		plain, wide := strings.CutPrefix(name, "+")
		out[i] = Column{plain, wide}
	}
	return out
}

// Row is one object of a table.
type Row struct {
	// Name is the object for -o name, such as retrypolicy.policy.fairlead.dev/payments, and Key distinguishes it from all others.
	Name, Key string
	Cells     []string
}

// Table is what a listing found.
type Table struct {
	Columns []Column
	Rows    []Row
	// None is a sentence for people when there are no rows.
	None string
}

// Print prints the table, with its head if head says so.
func (t *Table) Print(w io.Writer, wide, head bool) error {
	tabs := printers.GetNewTabWriter(w)
	if head {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = c.Name
		}
		t.line(tabs, names, wide)
	}
	for i := range t.Rows {
		t.line(tabs, t.Rows[i].Cells, wide)
	}
	if err := tabs.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (t *Table) line(w io.Writer, cells []string, wide bool) {
	var shown []string
	for i, cell := range cells {
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
