package status

import (
	"fmt"
	"strings"
)

// NameSome joins at most three names and counts the rest of all.
func NameSome(names []string, all int) string {
	shown := names[:min(len(names), 3)]
	s := strings.Join(shown, ", ")
	if more := all - len(shown); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// listSome names three of the names as a sentence does, and counts the rest.
func listSome(names []string) string {
	last := len(names) - 1
	if last < 1 || last > 2 {
		return NameSome(names, len(names))
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Bound cuts s to n bytes, at the end of a character.
func Bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
