package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

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
	if text = append(harmless(text, f == YAML), '\n'); f == YAML {
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

// JSONLine returns a value as one line of JSON, in which nothing is what a terminal would act on.
func JSONLine(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(harmless(text, false)), err
}

// harmless writes what a terminal would act on in strings of JSON as JSON does, or YAML, which has no surrogates: the value stays the same.
func harmless(text []byte, forYAML bool) []byte {
	var out []byte
	for _, r := range string(text) {
		switch {
		case r == '\n' || !acts(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff && forYAML:
			out = fmt.Appendf(out, `\U%08x`, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// Names prints the names of a table's rows, those of several rows once. Objects with one name in several namespaces differ in the first column.
func (t *Table) Names(w io.Writer) {
	seen := map[[2]string]bool{}
	for i := range t.Rows {
		if key := [2]string{t.Rows[i].Name, t.Rows[i].Cells[0]}; !seen[key] {
			seen[key] = true
			fmt.Fprintln(w, Text(t.Rows[i].Name))
		}
	}
}

// Count says how many there are of something: "1 pod", "2 pods".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
