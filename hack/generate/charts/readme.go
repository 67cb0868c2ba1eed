package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// marker stands above the table of values in a README, and all below is generated.
const marker = "<!-- Generated from values.yaml by make generate. -->\n"

// writeReadme writes a chart's README with the table of its values.
func writeReadme(chart, path string) error {
	page, err := os.ReadFile(filepath.Join(chart, "README.md"))
	if err != nil {
		return err
	}
	head, _, found := strings.Cut(string(page), marker)
	if !found {
		return fmt.Errorf("README.md has no line %q", strings.TrimSpace(marker))
	}
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	rows, err := valuesTable(values)
	if err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	return write(path, head+marker+rows)
}

// valuesTable makes a row of each value that has a comment. One without is part of the value above it, and shown in that one's default.
func valuesTable(values []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return "", err
	}
	if len(doc.Content) != 1 {
		return "", errors.New("it is no mapping")
	}
	var b strings.Builder
	b.WriteString("\n| value | default | |\n|---|---|---|\n")
	err := addRows(&b, "", doc.Content[0])
	return b.String(), err
}

func addRows(b *strings.Builder, prefix string, mapping *yaml.Node) error {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		path := prefix + key.Value
		if key.HeadComment == "" {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				return fmt.Errorf("%s has no comment that says what it is for", path)
			}
			if err := addRows(b, path+".", value); err != nil {
				return err
			}
			continue
		}
		shown, err := shownDefault(value)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", path, shown, sentence(key.HeadComment))
	}
	return nil
}

// sentence is a comment in one line.
func sentence(comment string) string {
	var lines []string
	for line := range strings.Lines(comment) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.ReplaceAll(strings.Join(lines, " "), "|", `\|`)
}

func shownDefault(value *yaml.Node) (string, error) {
	var v any
	if err := value.Decode(&v); err != nil {
		return "", err
	}
	if v == "" {
		return "", nil
	}
	text, err := json.Marshal(v)
	return "`" + string(text) + "`", err
}
