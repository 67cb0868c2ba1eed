package tracing

import (
	"strings"
	"testing"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		give, want string // as it is written again; empty: refused
	}{
		"sampled":                       {example, example},
		"not sampled":                   {strings.TrimSuffix(example, "1") + "0", strings.TrimSuffix(example, "1") + "0"},
		"with a random trace id":        {strings.TrimSuffix(example, "1") + "3", strings.TrimSuffix(example, "1") + "3"},
		"flags nobody knows are zero":   {strings.TrimSuffix(example, "01") + "ff", strings.TrimSuffix(example, "01") + "03"},
		"a later version":               {"cc" + example[2:], example},
		"a later version that has more": {"cc" + example[2:] + "-what-the-future-will-be-like", example},
		"a later version run on":        {"cc" + example[2:] + ".what", ""},
		"more than version 00 has":      {example + "-00", ""},
		"the version that is none":      {"ff" + example[2:], ""},
		"no version":                    {"0" + example[2:], ""},
		"capitals":                      {strings.ToUpper(example), ""},
		"a trace of zeros":              {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		"a span of zeros":               {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""},
		"no digits in the trace":        {strings.Replace(example, "4bf", "4bg", 1), ""},
		"no digits in the span":         {strings.Replace(example, "00f0", "00.0", 1), ""},
		"no digits in the flags":        {strings.TrimSuffix(example, "1") + ".", ""},
		"other separators":              {strings.ReplaceAll(example, "-", "_"), ""},
		"cut off":                       {example[:len(example)-1], ""},
		"nothing":                       {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := Parse([]byte(tc.give))
			got := ""
			if ok {
				got = string(c.Append(nil))
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestIdentifiersDiffer(t *testing.T) {
	traces, spans := map[TraceID]bool{{}: true}, map[SpanID]bool{{}: true}
	for range 1000 {
		trace, span := NewTraceID(), NewSpanID()
		if traces[trace] || spans[span] {
			t.Fatalf("%s or %s again", trace, span)
		}
		traces[trace], spans[span] = true, true
	}
}

func TestDraw(t *testing.T) {
	drawn := func(percent int) (n int) {
		for range 10_000 {
			if Draw(percent) {
				n++
			}
		}
		return n
	}
	if n := drawn(0); n != 0 {
		t.Errorf("0%%: %d of 10,000", n)
	}
	if n := drawn(100); n != 10_000 {
		t.Errorf("100%%: %d of 10,000", n)
	}
	if n := drawn(30); n < 2500 || n > 3500 { // ten times the standard deviation
		t.Errorf("30%%: %d of 10,000", n)
	}
}

func TestReadingAndWritingAllocatesNothing(t *testing.T) {
	value, out := []byte(example), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		c, _ := Parse(value)
		c.Span = NewSpanID()
		out = c.Append(out[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, ok := Parse(value)
		if !ok {
			return
		}
		again, ok := Parse(c.Append(nil))
		if !ok || again != c {
			t.Errorf("%q is read as %v, and that as %v", value, c, again)
		}
	})
}
