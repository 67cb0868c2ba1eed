package routes

import (
	"bytes"
	"testing"
)

// What is shown of a target has nothing of its query, its fragment and its user information, in whatever form it comes.
func TestNoSecretsOfATargetAreShown(t *testing.T) {
	for target, want := range map[string]string{
		"":                                   "",
		"*":                                  "*",
		"/":                                  "/",
		"/a/b":                               "/a/b",
		"/a?token=s":                         "/a",
		"/a#token=s":                         "/a",
		"/a#b?token=s":                       "/a",
		"/a?b#token=s":                       "/a",
		"/@a/b@c":                            "/@a/b@c",
		"?token=s":                           "",
		"#token=s":                           "",
		"http://host/a?token=s":              "/a",
		"http://host/a#token=s":              "/a",
		"http://host?token=s":                "/",
		"http://host#/token=s":               "/",
		"http://user:secret@host":            "/",
		"http://user:secret@host/a":          "/a",
		"host:443":                           "host:443",
		"user:secret@host:443":               "host:443",
		"http:user:secret@host/a":            "host/a",
		"a?next=http://host/token/s":         "a",
		"a#http://host/token/s":              "a",
		"user:secret@a?next=http://host/@/s": "a",
	} {
		if got := string(ShownPath([]byte(target))); got != want {
			t.Errorf("of %q there is shown %q, and not %q", target, got, want)
		}
	}
	for host, want := range map[string]string{"": "", "host:80": "host:80", "user:secret@host:80": "host:80", "a@b@host": "host", "user@": ""} {
		if got := string(ShownHost([]byte(host))); got != want {
			t.Errorf("of %q there is shown %q, and not %q", host, got, want)
		}
	}
}

func FuzzShownPath(f *testing.F) {
	for _, s := range []string{"/a?b#c", "http://u:p@h/a?b", "u:p@h:443", "*", "a://b?c://d"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, target []byte) {
		shown := ShownPath(target)
		if bytes.ContainsAny(shown, "?#") {
			t.Errorf("of %q there is shown %q", target, shown)
		}
		if len(shown) > 0 && shown[0] != '/' && bytes.ContainsRune(shown, '@') {
			t.Errorf("of %q there is shown %q, with what may be user information", target, shown)
		}
	})
}

func TestShowingAllocatesNothing(t *testing.T) {
	target, host := []byte("http://user:secret@host/a?b#c"), []byte("user:secret@host:80")
	if n := testing.AllocsPerRun(100, func() {
		if len(ShownPath(target))+len(ShownHost(host)) == 0 {
			t.Error("nothing is shown")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
