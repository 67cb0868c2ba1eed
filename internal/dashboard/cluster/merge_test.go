package cluster

import (
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/liveapi"
)

// A node counts once for an endpoint, by the worst of its breakers there, however many policies have the destination.
func TestNodesAreCountedOncePerEndpoint(t *testing.T) {
	const name = "shop/backend:80"
	address := netip.MustParseAddrPort("10.0.0.7:80")
	of := func(states ...string) liveapi.List[liveapi.Endpoints] {
		var l liveapi.List[liveapi.Endpoints]
		for _, s := range states {
			e := liveapi.Endpoint{Address: address, Outstanding: 1}
			if s != "" {
				e.Judged = []liveapi.EndpointBreaker{{State: s, Weight: 0.5, Ejections: 1}}
			}
			l.Items = append(l.Items, liveapi.Endpoints{Destination: name, Endpoints: []liveapi.Endpoint{e}})
		}
		return l
	}
	got := mergeEndpoints([]liveapi.List[liveapi.Endpoints]{
		of(open, open), of(closed, open), of(halfOpen, closed), of(halfOpen, halfOpen), of(closed, ""), of(""),
		{Items: []liveapi.Endpoints{{Destination: "shop/other:80", Endpoints: []liveapi.Endpoint{{Address: address}}}}},
	}, name)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	if e := got[0]; e.Nodes != 6 || e.Ejected != 2 || e.Probed != 2 || e.Outstanding != 11 || e.Weight != 0.5 || e.Ejections != 9 {
		t.Errorf("%+v", e)
	}
}
