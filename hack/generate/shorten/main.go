// Shorten cuts repeated descriptions in a CRD, so that the resource stays small enough for kubectl apply, which keeps a copy of it in an
// annotation of at most 256 KiB.
//
// Blocks of a policy stand in defaults, in overrides and in the rules of both. They are described in full where they stand first, and with the
// first sentence elsewhere.
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: shorten CRD.yaml")
		os.Exit(2)
	}
	if err := rewrite(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "shorten:", err)
		os.Exit(1)
	}
}

func rewrite(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return err
	}
	shorten(crd, nil)
	out, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Join([][]byte{[]byte("---\n"), out}, nil), 0o644)
}

// shorten visits the schemas below node, which stands at path.
func shorten(node any, path []string) {
	switch n := node.(type) {
	case map[string]any:
		for key, child := range n {
			text, isText := child.(string)
			if key == "description" && isText && repeated(path) {
				n[key] = firstSentence(text)
				continue
			}
			shorten(child, append(slices.Clip(path), key))
		}
	case []any:
		for _, child := range n {
			shorten(child, path)
		}
	}
}

// repeated reports whether what stands at path is described in full elsewhere in the same resource: blocks in rules, but for match, and what stands
// in overrides, which are not those of retry.
func repeated(path []string) bool {
	if at := slices.Index(path, "rules"); at >= 0 && !slices.Contains(path[at:], "match") {
		return true
	}
	at := slices.Index(path, "overrides")
	return at >= 0 && !slices.Contains(path[:at], "retry")
}

// firstSentence keeps whole what says that a list may be empty: API conventions want that to be said where the list stands.
func firstSentence(text string) string {
	end := strings.IndexAny(text, ".:")
	for end >= 0 && end+1 < len(text) && text[end+1] != ' ' && text[end+1] != '\n' {
		next := strings.IndexAny(text[end+1:], ".:")
		if next < 0 {
			return text
		}
		end += 1 + next
	}
	if end < 0 || strings.Contains(text, "empty") {
		return text
	}
	return text[:end] + "."
}
