package syntax

import (
	"strings"
	"testing"
)

func TestMaxForwards(t *testing.T) {
	for value, want := range map[string]struct {
		less string
		none bool
	}{
		"1": {"0", false}, "10": {"9", false}, "100": {"99", false}, "0100": {"0099", false}, "0": {"0", true}, "000": {"000", true},
		"1" + strings.Repeat("0", 40): {strings.Repeat("9", 40), false},
		"-1":                          {"-1", false}, "x": {"x", false}, "": {"", false}, "1 ": {"1 ", false},
	} {
		if none := NoForwards([]byte(value)); none != want.none {
			t.Errorf("%q: none is left: %v", value, none)
		}
		if less := AppendLess([]byte("behind "), []byte(value)); string(less) != "behind "+want.less {
			t.Errorf("%q: %q", value, less)
		}
		if v := []byte(value); string(AppendLess(v[:0], v)) != want.less {
			t.Errorf("%q, in place: %q", value, v)
		}
	}
}

func TestSensitive(t *testing.T) {
	for name, want := range map[string]bool{"Authorization": true, "cookie": true, "x-api-key": true, "accept": false, "host": false} {
		if Sensitive([]byte(name)) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
