package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// Format is the value of -o.
type Format string

// The formats. None is a table.
const (
	None Format = ""
	Wide Format = "wide"
	JSON Format = "json"
	YAML Format = "yaml"
	Name Format = "name"
)

// Formats are those that a listing can have, for help and completion.
var Formats = []string{string(Wide), string(JSON), string(YAML), string(Name)}

// Check refuses formats that there are not.
func (f Format) Check(allowed ...Format) error {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if names[i] = string(a); f == a {
			return nil
		}
	}
	if f == None {
		return nil
	}
	return fmt.Errorf("-o %s: write one of %s", Text(string(f)), strings.Join(names, ", "))
}

// Value prints v as JSON or YAML.
func Value(w io.Writer, f Format, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if text = append(text, '\n'); f == YAML {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	_, err = w.Write(text)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Names prints the names of a table's rows.
func (t *Table) Names(w io.Writer) {
	for i := range t.Rows {
		fmt.Fprintln(w, Text(t.Rows[i].Name))
	}
}
