package grpc

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestRule26_RepliesAreTrailersOnly(t *testing.T) {
	type fields = []field
	for name, tc := range map[string]struct {
		give Reply
		want fields
	}{
		"an open circuit": {Reply{Status: Unavailable, Reason: "circuit_open"}, fields{
			{"content-type", "application/grpc"}, {"grpc-status", "14"}, {"grpc-message", "fairlead: circuit_open"},
			{"fairlead-reason", "circuit_open"},
		}},
		"a codec": {Reply{Status: Unavailable, ContentType: "application/grpc+json", Reason: "reset"}, fields{
			{"content-type", "application/grpc+json"}, {"grpc-status", "14"}, {"grpc-message", "fairlead: reset"}, {"fairlead-reason", "reset"},
		}},
		"a rate limit": {Reply{Status: ResourceExhausted, Reason: "rate_limited", Pushback: time.Second}, fields{
			{"content-type", "application/grpc"}, {"grpc-status", "8"}, {"grpc-message", "fairlead: rate_limited"},
			{"fairlead-reason", "rate_limited"}, {"grpc-retry-pushback-ms", "1000"},
		}},
	} {
		var got fields
		for n, v := range tc.give.Fields() {
			got = append(got, field{n, v})
		}
		if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(field{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		for range tc.give.Fields() { // which may be left
			break
		}
	}
}

func TestMessages(t *testing.T) {
	for give, want := range map[string]string{
		"": "", "plain text ~!": "plain text ~!", "100%": "100%25", "a\nb": "a%0Ab", "\x7f": "%7F", "ü€😀": "%C3%BC%E2%82%AC%F0%9F%98%80",
		"\xff": "%EF%BF%BD", "a\xc3": "a%EF%BF%BD",
	} {
		if got := string(AppendMessage(nil, give)); got != want {
			t.Errorf("%q is written %q, want %q", give, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("100% ü\xff\n")
	f.Fuzz(func(t *testing.T, text string) {
		out := string(AppendMessage(nil, text))
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is written %q, which no field can hold", text, out)
		}
		back, err := url.PathUnescape(out)
		if want := strings.ToValidUTF8(text, string(utf8.RuneError)); err != nil || utf8.ValidString(text) && back != want {
			t.Fatalf("%q is read back as %q, %v", text, back, err)
		}
	})
}

func TestPreviousAttempts(t *testing.T) {
	for _, tc := range []struct {
		own     string
		retries int
		want    string
	}{
		{"", 1, "1"}, {"", 3, "3"}, {"2", 1, "3"}, {"007", 1, "8"}, {"x", 1, "1"}, {"-2", 1, "1"}, {"99999999999999999999", 2, "2"}, {"1 ", 2, "2"},
	} {
		if got := string(AppendPreviousAttempts(nil, []byte(tc.own), tc.retries)); got != tc.want {
			t.Errorf("after %q and %d retries: %s, want %s", tc.own, tc.retries, got, tc.want)
		}
	}
}
