package differential

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb/socketlbtest"
)

// translateService has sockets that connect to the Service of kind translated connect to server 0, in every world.
func translateService() (detach func(), err error) {
	to := serverAddrs(0)
	return socketlbtest.Attach(map[netip.AddrPort]netip.AddrPort{
		netip.AddrPortFrom(translatedAddrs.v4, servicePort): netip.AddrPortFrom(to.v4, serverPort),
		netip.AddrPortFrom(translatedAddrs.v6, servicePort): netip.AddrPortFrom(to.v6, serverPort),
	})
}

// TestRule40_TranslatedCallsAreTheServices: where the node translates addresses, calls that name a Service are balanced and tried again as they are
// elsewhere; calls to an endpoint that the client chose stay there, as those of clients of headless Services must.
func TestRule40_TranslatedCallsAreTheServices(t *testing.T) {
	netnstest.Privileged(t)
	if missing := missingPrograms(); len(missing) > 0 && os.Getenv("REQUIRE_PRIVILEGED") != "1" {
		t.Skipf("NOT RUN: programs are missing: %v", missing)
	}
	detach, err := translateService()
	if err != nil && os.Getenv("REQUIRE_PRIVILEGED") != "1" {
		t.Skipf("NOT RUN: addresses cannot be translated: %v", err)
	}
	check(t, err)
	t.Cleanup(detach)
	w := newWorld(t, netnstest.Host(t))
	const service = serviceName + "." + namespace + ".svc"
	pod := kind{name: translated.name, direct: true, to: translated.to}
	both := map[string]bool{"server 0": true, "server 1": true}
	first, second := map[string]bool{"server 0": true}, map[string]bool{"server 1": true}
	for name, tc := range map[string]struct {
		kind kind
		host string
		v6   bool
		dead int // the server that does not listen; -1: none
		want map[string]bool
	}{
		"balanced":          {translated, service, false, -1, both},
		"balanced, IPv6":    {translated, service, true, -1, both},
		"by the cluster IP": {translated, translatedAddrs.v4.String(), false, -1, both},
		"the endpoint that the node chose is dead": {translated, service, false, 0, second},
		"for another host":                         {translated, serverName, false, -1, first},
		"a pod by its address":                     {pod, serverAddrs(0).v4.String(), false, -1, first},
		"a pod by its address, which is dead":      {pod, serverAddrs(0).v4.String(), false, 0, map[string]bool{"HTTP/1.1 502 Bad Gateway": true}},
		"headless":                                 {headless, service, false, -1, first},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.newRun(t, &scenario{setting: setting{endpoints: []int{0, 1}, host: tc.host, v6: tc.v6}}, tc.kind, true)
			defer w.restore(t)
			defer r.end()
			r.begin()
			for i := range serverCount {
				if i != tc.dead {
					r.quietWeb(i, func(q *request) { q.p.sayQuietly(ok(fmt.Sprintf("server %d", i))) })
				}
			}
			got := map[string]bool{}
			for i := range 40 {
				got[r.quietCall(i)] = true
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("%v answered, want %v", got, tc.want)
			}
			if r.agent.Accepted() == 0 {
				t.Error("nothing came by the agent, so nothing is proved")
			}
		})
	}
}
