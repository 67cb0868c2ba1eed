package resilience

import (
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fields is a head, by names in lower case.
type fields map[string]string

func (f fields) Header(lower string) ([]byte, bool) {
	v := f[lower]
	return []byte(v), v != ""
}

func TestRule14_TheMostExactWishCounts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := strconv.FormatInt(now.Add(40*time.Second).Unix(), 10)
	for name, tc := range map[string]struct {
		head    fields
		limited bool
		want    Wish
		ok      bool
	}{
		"none":                         {fields{}, true, Wish{}, false},
		"milliseconds":                 {fields{"retry-after-ms": "1500"}, false, Wish{After: 1500 * time.Millisecond}, true},
		"before Retry-After":           {fields{"retry-after-ms": "1", "retry-after": "20"}, false, Wish{After: time.Millisecond}, true},
		"be it longer":                 {fields{"retry-after-ms": "30000", "retry-after": "20"}, false, Wish{After: 30 * time.Second}, true},
		"unless it is none":            {fields{"retry-after-ms": "soon", "retry-after": "20"}, false, Wish{After: 20 * time.Second}, true},
		"Retry-After":                  {fields{"retry-after": "20"}, false, Wish{After: 20 * time.Second}, true},
		"before the limit's":           {fields{"retry-after": "20", "x-ratelimit-reset": "7"}, true, Wish{After: 20 * time.Second}, true},
		"of the limit":                 {fields{"x-ratelimit-reset": "7"}, true, Wish{7 * time.Second, true}, true},
		"of the limit, a time":         {fields{"x-ratelimit-reset": at}, true, Wish{40 * time.Second, true}, true},
		"of a limit that is not meant": {fields{"x-ratelimit-reset": "7"}, false, Wish{}, false},
		"the limit's alone is one":     {fields{"retry-after-ms": "-1", "retry-after": "x", "x-ratelimit-reset": "7"}, true, Wish{7 * time.Second, true}, true},
		"all are none":                 {fields{"retry-after-ms": "-1", "retry-after": "x", "x-ratelimit-reset": "y"}, true, Wish{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := ReadWish(tc.head, tc.limited, now); got != tc.want || ok != tc.ok {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

const year = maxRetryAfterSeconds * time.Second

func TestRule14_RetryAfterMillis(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Millisecond, "2500": 2500 * time.Millisecond, " 7\t": 7 * time.Millisecond, "0.0": 0, "0.2": time.Millisecond,
		"10.000": 10 * time.Millisecond, "99999999999999999999999999": year, "31536000000": year, "31536000000.5": year,
		"": -1, " ": -1, "-1": -1, "+1": -1, "1.": -1, ".5": -1, "1.5.2": -1, "1e3": -1, "1s": -1, "0x1": -1, "1,2": -1, "1 2": -1,
	} {
		got, ok := RetryAfterMillis([]byte(value))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", value, got, ok, want)
		}
	}
}

func TestRule14_RateLimitReset(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for value, want := range map[string]time.Duration{
		"0": 0, "12": 12 * time.Second, "0.5": time.Second, "86400": 24 * time.Hour, "31536001": year, "999999999": year,
		"1000000000": 0, "1800000000": 0, "1800000030": 30 * time.Second, "1800000029.25": 30 * time.Second, "1799999999": 0,
		"1900000000": year, "99999999999": year, "100000000000": 0, "1800000000250": 250 * time.Millisecond, "1799999999999": 0,
		"99999999999999999999999999": year,
		"":                           -1, "soon": -1, "-5": -1, "1.": -1, "2027-01-15T08:00:00Z": -1, "6m0s": -1,
	} {
		got, ok := RateLimitReset([]byte(value), now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", value, got, ok, want)
		}
	}
	late := now.Add(900 * time.Millisecond)
	if d, _ := RateLimitReset([]byte("1800000002"), late); late.Add(d).Before(now.Add(2 * time.Second)) {
		t.Errorf("a wait of %v is cut short", d)
	}
}

// Whatever arrives: a delay within bounds, and that of exact arithmetic.
func FuzzWishes(f *testing.F) {
	for _, v := range []string{"120", "", "-1", "1.5", "99999999999999999999", "1800000030", "1800000030500", ".", "0.0"} {
		f.Add(v, int64(1_800_000_000_000))
	}
	f.Fuzz(func(t *testing.T, value string, millis int64) {
		now := time.UnixMilli(min(max(millis, 0), 1<<42))
		ms, ok := RetryAfterMillis([]byte(value))
		reset, okReset := RateLimitReset([]byte(value), now)
		if ms < 0 || ms > year || reset < 0 || reset > year || ok != okReset {
			t.Fatalf("%q: %v, %v; %v, %v", value, ms, ok, reset, okReset)
		}
		exact, isNumber := exactly(value)
		if ok != isNumber {
			t.Fatalf("%q is a number: %v, want %v", value, ok, isNumber)
		}
		if ok && ms != bounded(exact, time.Millisecond) {
			t.Fatalf("%q: %v milliseconds", value, ms)
		}
		if ok && reset != slowReset(exact, now) {
			t.Fatalf("%q at %v: %v, want %v", value, now, reset, slowReset(exact, now))
		}
	})
}

// exactly reads a decimal number, rounded up.
func exactly(value string) (*big.Int, bool) {
	value = strings.Trim(value, " \t")
	if value == "" || strings.Trim(value, "0123456789.") != "" || strings.Count(value, ".") > 1 || value[0] == '.' || value[len(value)-1] == '.' {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(value)
	if !ok {
		return nil, false
	}
	n := new(big.Int).Add(r.Num(), new(big.Int).Sub(r.Denom(), big.NewInt(1)))
	return n.Quo(n, r.Denom()), true
}

func bounded(n *big.Int, unit time.Duration) time.Duration {
	switch most := big.NewInt(int64(year / unit)); {
	case n.Sign() < 0:
		return 0
	case n.Cmp(most) > 0:
		return year
	}
	return time.Duration(n.Int64()) * unit
}

func slowReset(n *big.Int, now time.Time) time.Duration {
	switch {
	case n.Cmp(big.NewInt(1e9)) < 0:
		return bounded(n, time.Second)
	case n.Cmp(big.NewInt(1e11)) < 0:
		return bounded(new(big.Int).Sub(n, big.NewInt(now.Unix())), time.Second)
	}
	return bounded(new(big.Int).Sub(n, big.NewInt(now.UnixMilli())), time.Millisecond)
}

// head is one without allocations of its own.
type head struct{ name, value []byte }

func (h *head) Header(lower string) ([]byte, bool) { return h.value, string(h.name) == lower }

func TestReadingWishesDoesNotAllocate(t *testing.T) {
	for name, value := range map[string]string{"retry-after-ms": "150", "retry-after": "3", "x-ratelimit-reset": "1800000030", "x": ""} {
		h := &head{[]byte(name), []byte(value)}
		if n := testing.AllocsPerRun(100, func() { ReadWish(h, true, date) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
