package index

import (
	"net/netip"
	"testing"
)

func TestEndpointsOfBothFamiliesAreCountedOnce(t *testing.T) {
	var list []netip.AddrPort
	for _, a := range []string{"10.1.0.1:8080", "10.1.0.1:8081", "10.1.0.2:8080", "10.1.0.2:8081", "[fd01::1]:8080"} {
		list = append(list, netip.MustParseAddrPort(a))
	}
	if n := countEndpoints(list); n != 4 {
		t.Errorf("%d endpoints, of which one has addresses of both families, want 4", n)
	}
}
