package effective

import (
	"fmt"
	"io"

	"fairlead.dev/fairlead/internal/cli/output"
)

// Print prints fields with their sources, those with built-in defaults only if all says so.
func Print(w io.Writer, indent string, fields []Field, all bool) {
	t := output.Table{Columns: output.Columns(indent+"FIELD", "VALUE", "SOURCE")}
	hidden := 0
	for _, f := range fields {
		if f.Default && !all {
			hidden++
			continue
		}
		t.Rows = append(t.Rows, output.Row{Cells: []string{indent + f.Path, f.Value, f.Source}})
	}
	if len(t.Rows) > 0 {
		_ = t.Print(w, true, true)
	}
	if hidden > 0 {
		fmt.Fprintf(w, "%s%d fields have their built-in default or follow from others; --all shows them\n", indent, hidden)
	}
}
