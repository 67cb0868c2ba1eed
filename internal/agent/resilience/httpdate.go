package resilience

import (
	"bytes"
	"time"
)

// httpDate reads the three forms of RFC 9110 section 5.6.7 (IMF-fixdate, RFC 850, asctime) as seconds since the Unix epoch.
// "HTTP-date is case sensitive"; the day's name must be one, but need not fit the date.
func httpDate(v []byte, now time.Time) (int64, bool) {
	s := scanner{rest: v}
	var d civil
	switch bytes.IndexByte(v, ',') {
	case 3:
		d = s.imfFixdate()
	case -1:
		d = s.asctime()
	default:
		d = s.rfc850(now.UTC().Year())
	}
	if s.failed || len(s.rest) != 0 {
		return 0, false
	}
	return d.unix()
}

// civil is a date and time of day in GMT.
type civil struct{ year, month, day, hour, minute, second int }

func (d civil) unix() (int64, bool) {
	if d.month < 1 || d.hour > 23 || d.minute > 59 || d.second > 60 { // 60 is a leap second
		return 0, false
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, 0, time.UTC)
	midnight := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC)
	return t.Unix(), midnight.Day() == d.day
}

// scanner consumes a value piece by piece; after a piece that does not fit it has failed for good.
type scanner struct {
	rest   []byte
	failed bool
}

// imfFixdate reads "Sun, 06 Nov 1994 08:49:37 GMT".
func (s *scanner) imfFixdate() (d civil) {
	s.name(shortDays)
	s.literal(", ")
	d.day = s.digits(2)
	s.literal(" ")
	d.month = s.name(months)
	s.literal(" ")
	d.year = s.digits(4)
	s.literal(" ")
	s.clock(&d)
	s.literal(" GMT")
	return d
}

// rfc850 reads "Sunday, 06-Nov-94 08:49:37 GMT". "Recipients of a timestamp value in rfc850-date format, which uses a
// two-digit year, MUST interpret a timestamp that appears to be more than 50 years in the future as representing the most
// recent year in the past that had the same last two digits."
func (s *scanner) rfc850(thisYear int) (d civil) {
	s.name(longDays)
	s.literal(", ")
	d.day = s.digits(2)
	s.literal("-")
	d.month = s.name(months)
	s.literal("-")
	d.year = thisYear - thisYear%100 + s.digits(2)
	if d.year > thisYear+50 {
		d.year -= 100
	}
	s.literal(" ")
	s.clock(&d)
	s.literal(" GMT")
	return d
}

// asctime reads "Sun Nov  6 08:49:37 1994".
func (s *scanner) asctime() (d civil) {
	s.name(shortDays)
	s.literal(" ")
	d.month = s.name(months)
	s.literal(" ")
	if len(s.rest) > 0 && s.rest[0] == ' ' {
		s.literal(" ")
		d.day = s.digits(1)
	} else {
		d.day = s.digits(2)
	}
	s.literal(" ")
	s.clock(&d)
	s.literal(" ")
	d.year = s.digits(4)
	return d
}

// clock reads "08:49:37".
func (s *scanner) clock(d *civil) {
	d.hour = s.digits(2)
	s.literal(":")
	d.minute = s.digits(2)
	s.literal(":")
	d.second = s.digits(2)
}

// digits reads exactly n digits.
func (s *scanner) digits(n int) int {
	if len(s.rest) < n {
		s.failed = true
		return 0
	}
	v := 0
	for _, c := range s.rest[:n] {
		if !isDigit(c) {
			s.failed = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) literal(want string) {
	if len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		s.failed = true
		return
	}
	s.rest = s.rest[len(want):]
}

// The names of HTTP-date, each ended by a slash.
const (
	shortDays = "Mon/Tue/Wed/Thu/Fri/Sat/Sun/"
	longDays  = "Monday/Tuesday/Wednesday/Thursday/Friday/Saturday/Sunday/"
	months    = "Jan/Feb/Mar/Apr/May/Jun/Jul/Aug/Sep/Oct/Nov/Dec/"
)

// name reads one of names and returns which, counted from 1.
func (s *scanner) name(names string) int {
	for i, start := 1, 0; start < len(names); i++ {
		end := start
		for names[end] != '/' {
			end++
		}
		if n := names[start:end]; len(s.rest) >= len(n) && string(s.rest[:len(n)]) == n {
			s.rest = s.rest[len(n):]
			return i
		}
		start = end + 1
	}
	s.failed = true
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
