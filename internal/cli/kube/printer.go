package kube

import (
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/cli/output"
)

// printer prints what a listing finds.
type printer struct {
	*Listing
	format output.Format
	head   bool // is to be printed yet
}

// first prints what was found first: with --watch, as rows that are there now.
func (p *printer) first(f *Found) error {
	p.unread(f.Unread, nil)
	shown := *f
	if p.events() {
		shown.Rows = f.Events(nil)
	}
	return p.print(&shown)
}

// events reports whether rows are printed with their events.
func (p *printer) events() bool { return p.Watch && !p.Past }

// unread says what could not be read, but what was said before.
func (p *printer) unread(all, before []string) {
	for _, text := range all {
		if !slices.Contains(before, text) {
			fmt.Fprintf(p.env.ErrOut, "not among it: %s\n", text)
		}
	}
}

// changes prints what is not as it was before, if anything is. Rows that could not be read now count as they were. A value is without them, and so is printed when
// they go and when they come again.
func (p *printer) changes(now, before *Found) error {
	if p.format != output.JSON && p.format != output.YAML {
		now.keep(before)
	}
	p.unread(now.Unread, before.Unread)
	shown := *now
	shown.None = ""
	shown.Rows = now.Events(before.Rows)
	if p.Past {
		shown.Rows = slices.DeleteFunc(shown.Rows, func(r output.Row) bool { return r.Event != output.Added })
		for i := range shown.Rows {
			shown.Rows[i].Event = ""
		}
	}
	if now.Text == before.Text {
		if shown.Text = ""; len(shown.Rows) == 0 {
			return nil
		}
	}
	return p.print(&shown)
}

func (p *printer) print(f *Found) error {
	w := p.env.Out
	switch p.format {
	case output.JSON, output.YAML:
		return output.Value(w, p.format, f.Value)
	case output.Name:
		f.Names(w)
		return nil
	case output.None, output.Wide:
	}
	fmt.Fprint(w, f.Text)
	if len(f.Rows) == 0 {
		if f.None != "" {
			fmt.Fprintln(p.env.ErrOut, f.None)
		}
		return nil
	}
	head := p.head
	p.head = false
	return f.Print(w, p.format == output.Wide, head)
}
