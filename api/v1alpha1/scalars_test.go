package v1alpha1

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurationParse(t *testing.T) {
	tests := map[string]struct {
		in   Duration
		want time.Duration
		bad  bool
	}{
		"milliseconds":       {in: "100ms", want: 100 * time.Millisecond},
		"several units":      {in: "1m30s", want: 90 * time.Second},
		"zero":               {in: "0s"},
		"the longest":        {in: "99999h99999h99999h99999h", want: 4 * 99999 * time.Hour},
		"units in any order": {in: "1s1h", want: time.Hour + time.Second},
		"not set":            {in: "", bad: true},
		"no unit":            {in: "10", bad: true},
		"a fraction":         {in: "1.5s", bad: true},
		"negative":           {in: "-1s", bad: true},
		"too fine a unit":    {in: "1us", bad: true},
		"too many units":     {in: "1s1s1s1s1s", bad: true},
		"a newline":          {in: "1s\n", bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.in.Parse()
			if (err != nil) != tc.bad || got != tc.want {
				t.Errorf("Parse(%q) = %v, %v", tc.in, got, err)
			}
		})
	}
}

func FuzzDurationParse(f *testing.F) {
	for _, s := range []string{"100ms", "1h2m3s4ms", "99999h99999h99999h99999h", "1.5s", "-1s", "1s\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Duration(s).Parse()
		if err != nil {
			return
		}
		want, err := time.ParseDuration(s)
		if err != nil || got != want || got < 0 {
			t.Errorf("Parse(%q) = %v, time.ParseDuration says %v, %v", s, got, want, err)
		}
	})
}

func TestWindowParse(t *testing.T) {
	if got, err := Window("10s").Parse(); err != nil || got != 10*time.Second {
		t.Errorf("Parse(10s) = %v, %v", got, err)
	}
	if _, err := Window("ten").Parse(); err == nil {
		t.Error("Parse(ten) succeeds")
	}
}

func TestStatusCodeReadsNumbers(t *testing.T) {
	var got []StatusCode
	if err := json.Unmarshal([]byte(`[503, "503", "5xx", "502-504"]`), &got); err != nil {
		t.Fatal(err)
	}
	if want := []StatusCode{"503", "503", "5xx", "502-504"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := json.Unmarshal([]byte(`[{}]`), &got); err == nil {
		t.Error("reads an object as a status code")
	}
}

func TestFactorParse(t *testing.T) {
	tests := map[string]struct {
		in   Factor
		want float64
		bad  bool
	}{
		"whole":           {in: "2", want: 2},
		"with a fraction": {in: "1.5", want: 1.5},
		"the largest":     {in: "999.999", want: 999.999},
		"not set":         {in: "", bad: true},
		"no digit before": {in: ".5", bad: true},
		"no digit after":  {in: "1.", bad: true},
		"exponent":        {in: "1e3", bad: true},
		"negative":        {in: "-1", bad: true},
		"not a number":    {in: "NaN", bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.in.Parse()
			if (err != nil) != tc.bad || got != tc.want {
				t.Errorf("Parse(%q) = %v, %v", tc.in, got, err)
			}
		})
	}
}

// The functions above accept what the API server accepts: the patterns in the
// markers are the patterns in the code.
func TestPatternsAgreeWithMarkers(t *testing.T) {
	source, err := os.ReadFile("scalars.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]*regexp.Regexp{"Duration": durationPattern, "Factor": factorPattern} {
		marker := regexp.MustCompile("XValidation:rule=\"self.matches\\('(.*)'\\)\",message=.*\ntype " + name + " ").FindStringSubmatch(string(source))
		if marker == nil || marker[1] != pattern.String() {
			t.Errorf("%s: the marker says %v, the code %v", name, marker, strings.TrimSpace(pattern.String()))
		}
	}
}
