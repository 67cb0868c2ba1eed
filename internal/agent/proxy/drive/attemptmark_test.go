package drive

import (
	"regexp"
	"strconv"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func TestNumbersOfAttemptsAreRead(t *testing.T) {
	for value, want := range map[string]int{
		"1": 1, "2": 2, "2;reason=reset": 2, "3;reason=upstream_failure;x=1": 3, "007": 7, "2;": 2, "999999999999999": mostAttempts + 1,
		"": 0, "0": 0, "-1": 0, "+2": 0, "2.0": 0, " 2": 0, "2 ": 0, "2, 3": 0, "two": 0, ";reason=reset": 0, "0x2": 0, "9999999999999999": 0,
	} {
		if got := readAttempt([]byte(value)); got != want {
			t.Errorf("%q is read as %d, want %d", value, got, want)
		}
	}
}

var numbered = regexp.MustCompile(`^[0-9]{1,15}(;[^,]*)?$`)

// Whatever arrives: a number within bounds, of what looks like one, and what we write is read again.
func FuzzAttemptMark(f *testing.F) {
	for _, v := range []string{"1", "2;reason=reset", "-1", "99999999999999999999", ";", "2;;"} {
		f.Add(v, 2)
	}
	f.Fuzz(func(t *testing.T, value string, n int) {
		got := readAttempt([]byte(value))
		if got < 0 || got > mostAttempts+1 || got > 0 && !regexp.MustCompile(`^[0-9]{1,15}(;.*)?$`).MatchString(value) && !regexp.MustCompile(`(?s)^[0-9]{1,15};`).MatchString(value) {
			t.Fatalf("%q is read as %d", value, got)
		}
		if digits := regexp.MustCompile(`^[0-9]{1,15}$`).FindString(value); digits != "" {
			if want, _ := strconv.Atoi(digits); got != min(want, mostAttempts+1) {
				t.Fatalf("%q is read as %d", value, got)
			}
		}
		n = min(max(n, 1), mostAttempts)
		for _, reason := range []string{"", "reset", "hedge"} {
			mark := AppendAttempt(nil, n, reason)
			if !numbered.Match(mark) || readAttempt(mark) != n {
				t.Fatalf("%d for %q is written %q", n, reason, mark)
			}
		}
	})
}

// noted is a head with one field.
type noted struct{ name, value string }

func (noted) Method() []byte { return nil }
func (noted) Host() []byte   { return nil }
func (noted) Target() []byte { return nil }

func (n noted) Header(lower string) ([]byte, bool) { return []byte(n.value), lower == n.name }

func (noted) AnyHeader(string, interface{ Fits(text []byte) bool }) bool { return false }

func TestAttemptsBeforeACallArrives(t *testing.T) {
	plan := func(header, skip bool) *routes.Plan {
		s := policy.Defaults()
		s.AttemptHeader, s.Retry.SkipRetried = header, skip
		return &routes.Plan{Plan: call.Plan{Settings: &s}}
	}
	dryRun := plan(false, false)
	dryRun.Would = plan(false, true)
	for name, tc := range map[string]struct {
		plan  *routes.Plan
		field noted
		grpc  bool
		want  int
	}{
		"a retry":                          {plan(true, false), noted{AttemptField, "3;reason=reset"}, false, 2},
		"a first attempt":                  {plan(true, false), noted{AttemptField, "1"}, false, 0},
		"to be skipped":                    {plan(false, true), noted{AttemptField, "2"}, false, 1},
		"a dry run would skip it":          {dryRun, noted{AttemptField, "2"}, false, 1},
		"nobody wants to know":             {plan(false, false), noted{AttemptField, "2"}, false, 0},
		"nonsense":                         {plan(false, true), noted{AttemptField, "many"}, false, 0},
		"too many to believe":              {plan(false, true), noted{AttemptField, "999999999"}, false, mostAttempts},
		"of gRPC":                          {plan(false, true), noted{"grpc-previous-rpc-attempts", "2"}, true, 2},
		"of gRPC where there is none":      {plan(false, true), noted{"grpc-previous-rpc-attempts", "2"}, false, 0},
		"of gRPC, too many to believe":     {plan(false, true), noted{"grpc-previous-rpc-attempts", "99999"}, true, mostAttempts},
		"a gRPC call with the other field": {plan(false, true), noted{AttemptField, "2"}, true, 1},
	} {
		if got := AttemptsBefore(tc.plan, tc.field, tc.grpc); got != tc.want {
			t.Errorf("%s: %d attempts before, want %d", name, got, tc.want)
		}
	}
}
