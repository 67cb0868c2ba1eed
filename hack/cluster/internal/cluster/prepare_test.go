package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestParseContainerd(t *testing.T) {
	if got, err := ParseContainerd("built,installed"); err != nil || !slices.Equal(got, []string{Built, Installed}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "built,", "2", "built installed"} {
		if got, err := ParseContainerd(bad); err == nil || !strings.Contains(err.Error(), "write built or installed for each node") {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}
