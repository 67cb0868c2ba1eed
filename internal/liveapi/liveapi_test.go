package liveapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// asked reads a query as a page would that has all kinds of parameters.
func asked(raw string) error {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.RawQuery = raw
	q := ParseQuery(r, "text", "flag", "number", "since", "choice")
	q.Text("text")
	q.Bool("flag")
	q.Int("number", 5, 1, 10)
	q.Duration("since", time.Minute, 10*time.Second, time.Hour)
	q.Choice("choice", "a", "b")
	return q.Err()
}

func TestWhatAQueryCannotMeanIsRefused(t *testing.T) {
	for raw, says := range map[string]string{
		"other=1":                           `there is no parameter "other"; there are: text, flag, number, since, choice`,
		"text=a&text=b":                     "text is given 2 times; give it once",
		"text=" + strings.Repeat("x", 257):  "text has 257 bytes; 256 are possible",
		"text=" + strings.Repeat("x", 5000): "too long",
		"text=%zz":                          "the query cannot be read",
		"text=a;flag=true":                  "the query cannot be read",
		"flag=maybe":                        `flag is "maybe"; write true or false`,
		"number=0":                          `number is "0"; write a number from 1 to 10`,
		"number=1e99":                       `number is "1e99"`,
		"number=99999999999999999999":       "write a number from 1 to 10",
		"since=1":                           `since is "1"; write a duration from 10s to 1h, such as 1m`,
		"since=-5m":                         `since is "-5m"`,
		"since=2h":                          `since is "2h"`,
		"choice=c":                          `choice is "c"; write one of: a, b`,
		"choice=%1b%5b31m":                  `choice is "\x1b[31m"`,
		"choice=%e2%80%ae":                  `choice is "\u202e"`,
		"%1b=1":                             `there is no parameter "\x1b"`,
		"choice=" + strings.Repeat("y", 99): `y…`,
	} {
		err := asked(raw)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `\u2026`, "…"), says) || len(err.Error()) > 300 {
			t.Errorf("%.60s: %v", raw, err)
		}
	}
}

func TestWhatAQueryCanMeanIsRead(t *testing.T) {
	for _, raw := range []string{"", "text=a%20b", "flag=true", "flag=false&number=10&since=1h&choice=b", "since=10s"} {
		if err := asked(raw); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/?number=7&since=90s&choice=b&flag=1&text=x", nil)
	q := ParseQuery(r, "text", "flag", "number", "since", "choice")
	if n, d := q.Int("number", 5, 1, 10), q.Duration("since", 0, 0, time.Hour); n != 7 || d != 90*time.Second {
		t.Errorf("%d, %s", n, d)
	}
	if c, b, s := q.Choice("choice", "a", "b"), q.Bool("flag"), q.Text("text"); c != "b" || !b || s != "x" {
		t.Errorf("%s, %t, %s", c, b, s)
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"text=a", "since=5m&number=3", "a=%", "text=\x00", "&&&=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if err := asked(raw); err != nil && (strings.ContainsAny(err.Error(), "\x1b\x00\n\r") || len(err.Error()) > 1000) {
			t.Errorf("%q", err)
		}
	})
}

// Only the process's own pod is answered, and of that only who has asked for it.
func TestWithin(t *testing.T) {
	page := Within(func(w http.ResponseWriter, _ *http.Request) { Answer(w, List[int]{Items: []int{}}) })
	for _, tc := range []struct {
		from, host string
		status     int
	}{
		{"127.0.0.1:4000", "localhost:9464", 200},
		{"127.0.0.1:4000", "localhost", 200},
		{"127.0.0.1:4000", "127.0.0.1:80", 200},
		{"[::1]:4000", "[::1]:9464", 200},
		{"[::1]:4000", "[::1]", 200},
		{"[::ffff:127.0.0.1]:4000", "127.0.0.1", 200},
		{"127.0.0.1:4000", "evil.example:9464", 403},
		{"127.0.0.1:4000", "localhost.evil.example", 403},
		{"127.0.0.1:4000", "", 403},
		{"10.0.0.7:4000", "localhost", 403},
		{"127.0.0.6:4000", "localhost", 403}, // a sidecar, for somebody else
		{"[::ffff:127.0.0.6]:4000", "localhost", 403},
		{"[fd00::7]:4000", "[::1]", 403},
		{"", "localhost", 403},
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr, r.Host = tc.from, tc.host
		page(w, r)
		if w.Code != tc.status {
			t.Errorf("from %q for %q: %d, want %d", tc.from, tc.host, w.Code, tc.status)
		}
		if w.Code == 200 && (w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("answered with %v", w.Header())
		}
	}
}

// What a page of another site has a browser ask for is refused, though it asks for localhost.
func TestOtherSitesOpenNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		fields map[string]string
		status int
	}{
		"no browser":            {nil, 200},
		"a person":              {map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200},
		"a page of its own":     {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:9464"}, 200},
		"no-cors":               {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		"another port":          {map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		"a link":                {map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},
		"another origin":        {map[string]string{"Origin": "https://evil.example"}, 403},
		"the origin of a port":  {map[string]string{"Origin": "http://localhost:3000"}, 403},
		"an origin that is not": {map[string]string{"Origin": "null"}, 403},
	} {
		served := false
		page := Within(func(w http.ResponseWriter, _ *http.Request) { served = true; Answer(w, List[int]{}) })
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost:9464"
		for field, value := range tc.fields {
			r.Header.Set(field, value)
		}
		if page(w, r); w.Code != tc.status || served != (tc.status == 200) {
			t.Errorf("%s: %d, served: %t", name, w.Code, served)
		}
	}
}
