package resilience

import (
	"testing"
	"time"
)

var date = time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)

func TestRule14_RetryAfter(t *testing.T) {
	now := date.Add(-90 * time.Second)
	tests := map[string]struct {
		value string
		want  time.Duration
		ok    bool
	}{
		"seconds":                 {"120", 2 * time.Minute, true},
		"zero":                    {"0", 0, true},
		"spaces around":           {" \t7 ", 7 * time.Second, true},
		"a year at most":          {"99999999999999999999999999", 365 * 24 * time.Hour, true},
		"IMF-fixdate":             {"Sun, 06 Nov 1994 08:49:37 GMT", 90 * time.Second, true},
		"RFC 850":                 {"Sunday, 06-Nov-94 08:49:37 GMT", 90 * time.Second, true},
		"asctime":                 {"Sun Nov  6 08:49:37 1994", 90 * time.Second, true},
		"asctime, two-digit day":  {"Wed Nov 16 08:49:37 1994", 10*24*time.Hour + 90*time.Second, true},
		"a date in the past":      {"Sun, 06 Nov 1994 08:00:00 GMT", 0, true},
		"a date far away":         {"Sun, 06 Nov 2094 08:49:37 GMT", 365 * 24 * time.Hour, true},
		"a leap second":           {"Sun, 06 Nov 1994 08:48:60 GMT", 53 * time.Second, true},
		"empty":                   {"", 0, false},
		"blank":                   {"  ", 0, false},
		"negative":                {"-1", 0, false},
		"fraction":                {"1.5", 0, false},
		"seconds with a unit":     {"10s", 0, false},
		"not GMT":                 {"Sun, 06 Nov 1994 08:49:37 CET", 0, false},
		"lower-case month":        {"Sun, 06 nov 1994 08:49:37 GMT", 0, false},
		"no such day":             {"Sun, 31 Nov 1994 08:49:37 GMT", 0, false},
		"no such hour":            {"Sun, 06 Nov 1994 24:49:37 GMT", 0, false},
		"no such minute":          {"Sun, 06 Nov 1994 08:60:37 GMT", 0, false},
		"more after the date":     {"Sun, 06 Nov 1994 08:49:37 GMT;", 0, false},
		"cut short":               {"Sun, 06 Nov 1994 08:49", 0, false},
		"short day name, RFC 850": {"Sun, 06-Nov-94 08:49:37 GMT", 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := RetryAfter([]byte(tc.value), now)
			if got != tc.want || ok != tc.ok {
				t.Errorf("%q: %v, %v; want %v, %v", tc.value, got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestRule14_TwoDigitYears(t *testing.T) {
	in2026 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if d, ok := RetryAfter([]byte("Thursday, 01-Jan-26 00:00:30 GMT"), in2026); d != 30*time.Second || !ok {
		t.Errorf("this year: %v, %v", d, ok)
	}
	if d, ok := RetryAfter([]byte("Saturday, 01-Jan-77 00:00:30 GMT"), in2026); d != 0 || !ok {
		t.Errorf("51 years ahead is 1977: %v, %v", d, ok)
	}
	if d, ok := RetryAfter([]byte("Wednesday, 01-Jan-76 00:00:30 GMT"), in2026); d != 365*24*time.Hour || !ok {
		t.Errorf("50 years ahead is 2076: %v, %v", d, ok)
	}
}

// A wait ends never before the date asked for, though dates have whole seconds and clocks do not.
func TestRule14_DatesAreNotCutShort(t *testing.T) {
	now := date.Add(-1500 * time.Millisecond)
	if d, _ := RetryAfter([]byte("Sun, 06 Nov 1994 08:49:37 GMT"), now); now.Add(d).Before(date) {
		t.Errorf("a wait of %v from %v ends before %v", d, now, date)
	}
}

func TestRetryAfterDoesNotAllocate(t *testing.T) {
	for _, v := range []string{"30", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "x"} {
		value := []byte(v)
		if n := testing.AllocsPerRun(100, func() { RetryAfter(value, date) }); n != 0 {
			t.Errorf("%q: %v allocations", v, n)
		}
	}
}
