package suggest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	k8syaml "sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/internal/cli/output"
)

// width is that of comments.
const width = 110

// print prints a suggestion as YAML, with its reasons as comments.
func (s *suggestion) print(to io.Writer) error {
	text, err := json.Marshal(s.policy)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil { // JSON is YAML
		return fmt.Errorf("print: %w", err)
	}
	s.comment(root.Content[0], "")
	first(root.Content[0], "apiVersion")
	var head []string
	for _, r := range s.rests {
		head = append(head, comment(r))
	}
	if len(s.left) > 0 {
		head = append(head, "#\n# Not suggested:")
	}
	for _, l := range s.left {
		head = append(head, comment("- "+l+"."))
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&root); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err = fmt.Fprintf(to, "---\n%s\n%s", strings.Join(head, "\n"), out.Bytes())
	return err
}

// comment gives the fields of a mapping their reasons, and the style that people write.
func (s *suggestion) comment(n *yaml.Node, path string) {
	n.Style = 0
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!str" && !isText(n.Value) {
			n.Style = yaml.DoubleQuotedStyle
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			s.comment(item, path)
		}
	case yaml.MappingNode:
		s.drop(n, path)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			key.Style = 0
			at := strings.TrimPrefix(path+"."+key.Value, ".")
			if why := s.reasons[at]; why != "" {
				key.HeadComment = comment(why)
			}
			s.comment(value, at)
		}
	default:
	}
}

// isText reports whether a text is read as one without quotes, also by YAML 1.1, as Kubernetes has it: y is true there.
func isText(s string) bool {
	var v any
	err := k8syaml.Unmarshal([]byte(s), &v)
	text, ok := v.(string)
	return err == nil && ok && text == s
}

// first puts a field before the others.
func first(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			field := slices.Clone(n.Content[i : i+2])
			n.Content = slices.Insert(slices.Delete(n.Content, i, i+2), 0, field...)
			return
		}
	}
}

// drop leaves out what people do not write.
func (s *suggestion) drop(n *yaml.Node, path string) {
	for i := 0; i+1 < len(n.Content); {
		if key := n.Content[i].Value; path == "" && key == "status" || path == "metadata" && key == "creationTimestamp" {
			n.Content = append(n.Content[:i], n.Content[i+2:]...)
			continue
		}
		i += 2
	}
}

// comment writes a sentence as lines of a comment.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(output.Text(text)) {
		if len(line)+1+len(word) > width && line != "#" {
			b.WriteString(line + "\n")
			line = "#  "
		}
		line += " " + word
	}
	b.WriteString(line)
	return b.String()
}
