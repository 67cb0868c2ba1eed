package routes

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// What is kept of a destination is named by its host, so clients must not decide how long that is: no name of the DNS is longer than 253 bytes.
func TestHostsThatAreNoNamesMatchNoPattern(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(binding("k", policy.Target{Kind: policy.TargetHost, Host: "*.example.com"})))
	c := s.PodRoutes("a").Candidates(addr("192.0.2.1:80"))
	const suffix = ".example.com"
	for length, governed := range map[int]bool{100: true, maxName: true, maxName + 1: false, 60 << 10: false} {
		host := strings.Repeat("x", length-len(suffix)) + suffix
		if got := c[0].Governs([]byte(host)); got != governed {
			t.Errorf("a host of %d bytes is governed: %v", length, got)
		}
	}
}
