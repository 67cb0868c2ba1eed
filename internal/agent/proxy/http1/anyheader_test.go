package http1

import (
	"slices"
	"testing"
)

// values collects what it is asked about, and fits one value.
type values struct {
	fits  string
	asked []string
}

func (v *values) Fits(text []byte) bool {
	v.asked = append(v.asked, string(text))
	return string(text) == v.fits
}

func TestAnyOfSeveralFieldsFits(t *testing.T) {
	q, err := readRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nX-A:  one \r\nx-b: no\r\nX-a: two\r\nX-A:\r\nx-gone: 1\r\nConnection: x-gone\r\nXX-A: 3\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		lower, fits string
		want        bool
		asked       []string
	}{
		"the first":          {"x-a", "one", true, []string{"one"}},
		"a later one":        {"x-a", "two", true, []string{"one", "two"}},
		"an empty one":       {"x-a", "", true, []string{"one", "two", ""}},
		"none":               {"x-a", "three", false, []string{"one", "two", ""}},
		"no such field":      {"x-c", "", false, nil},
		"one that ends here": {"x-gone", "1", false, nil},
	} {
		v := &values{fits: tc.fits}
		if got := q.AnyHeader(tc.lower, v); got != tc.want || !slices.Equal(v.asked, tc.asked) {
			t.Errorf("%s: %v after %q, want %v after %q", name, got, v.asked, tc.want, tc.asked)
		}
	}
}
