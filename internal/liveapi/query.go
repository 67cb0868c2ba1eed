package liveapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a request's query.
const (
	maxQuery = 4 << 10
	maxValue = 256
	maxShown = 64 // of a value that is refused, in the sentence that refuses it
)

// Query are the parameters of a request. What is wrong with the first of them that is wrong is found in Err.
type Query struct {
	values url.Values
	err    error
}

// ParseQuery reads the parameters of a request, which must be among the known ones, each at most once.
func ParseQuery(r *http.Request, known ...string) *Query {
	q := &Query{}
	if len(r.URL.RawQuery) > maxQuery {
		q.fail("a query of %d bytes is too long; %d are possible", len(r.URL.RawQuery), maxQuery)
		return q
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.fail("the query cannot be read: write name=value, joined by &, with other characters percent-encoded")
		return q
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			q.fail("there is no parameter %s; there are: %s", Quote(name), strings.Join(known, ", "))
		case len(all) > 1:
			q.fail("%s is given %d times; give it once", name, len(all))
		case len(all[0]) > maxValue:
			q.fail("%s has %d bytes; %d are possible", name, len(all[0]), maxValue)
		}
	}
	if q.err == nil {
		q.values = values
	}
	return q
}

// Err says what is wrong, and what to write instead; nil: nothing is.
func (q *Query) Err() error { return q.err }

func (q *Query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf(format, args...)
	}
}

// Text returns a parameter as it was given; empty if it was not.
func (q *Query) Text(name string) string { return q.values.Get(name) }

// Bool returns whether a parameter is true.
func (q *Query) Bool(name string) bool {
	v := q.values.Get(name)
	if v == "" {
		return false
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		q.fail("%s is %s; write true or false", name, Quote(v))
	}
	return on
}

// Int returns a parameter that is a number from least to most; unless, if it was not given.
func (q *Query) Int(name string, unless, least, most int) int {
	v := q.values.Get(name)
	if v == "" {
		return unless
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		q.fail("%s is %s; write a number from %d to %d", name, Quote(v), least, most)
		return unless
	}
	return n
}

// Duration returns a parameter that is a duration from least to most; unless, if it was not given.
func (q *Query) Duration(name string, unless, least, most time.Duration) time.Duration {
	v := q.values.Get(name)
	if v == "" {
		return unless
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		q.fail("%s is %s; write a duration from %s to %s, such as %s", name, Quote(v), short(least), short(most), short(unless))
		return unless
	}
	return d
}

// Choice returns a parameter that is one of a few; the first of them, if it was not given.
func (q *Query) Choice(name string, choices ...string) string {
	v := q.values.Get(name)
	if v == "" {
		return choices[0]
	}
	if !slices.Contains(choices, v) {
		q.fail("%s is %s; write one of: %s", name, Quote(v), strings.Join(choices, ", "))
		return choices[0]
	}
	return v
}

// short shows a duration without units of which there are none: 10m and not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, none) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// Quote shows what somebody has sent, cut, and without characters that a terminal or a log would act on.
func Quote(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strconv.QuoteToASCII(s)
}
