package output

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with what a terminal would act on, rather than show, written as Go writes it in strings: control characters, and characters that
// change the direction of what follows or are not seen. Newlines and tabs count as such too; see Lines.
func Text(s string) string { return escape(s, "") }

// Lines is Text for what may have several lines and tabs.
func Lines(s string) string { return escape(s, "\n\t") }

func escape(s, except string) string {
	if strings.IndexFunc(s, func(r rune) bool { return acts(r) && !strings.ContainsRune(except, r) }) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !acts(r) || strings.ContainsRune(except, r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// acts reports whether a character is not simply shown.
func acts(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Writer passes lines of text on, with Lines applied. What may be the first part of a character is kept until the rest of it comes, or Flush.
type Writer struct {
	to   io.Writer
	rest []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	text := append(w.rest, p...)
	whole := len(text)
	for i := max(0, len(text)-utf8.UTFMax+1); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			whole = i
			break
		}
	}
	w.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(w.to, Lines(string(text[:whole]))); err != nil {
		return 0, fmt.Errorf("print: %w", err)
	}
	return len(p), nil
}

// Flush writes what is kept.
func (w *Writer) Flush() error {
	rest := w.rest
	w.rest = nil
	if _, err := io.WriteString(w.to, Lines(string(rest))); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
