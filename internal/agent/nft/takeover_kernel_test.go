package nft_test

import (
	"io"
	"strconv"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/agent/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/nft"
)

// TestConnectionsOfTheAgentOutliveTakeOvers has the agent talk all the time on connections of its own while another agent takes the
// table over, as in an upgrade. A packet of such a connection that were not found in its zone would be taken for a new connection,
// from a port that is taken, and leave from another port: the server would answer with a reset.
func TestConnectionsOfTheAgentOutliveTakeOvers(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	install(t, open(t, pod, options("first")), nft.Redirect{All: true})
	over := make(chan struct{})
	var talkers sync.WaitGroup
	t.Cleanup(talkers.Wait)
	for _, to := range addrs("10.99.0.1:80", "[fd99::1]:80") {
		c, err := pod.Dial(t.Context(), to, mark)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len("direct"))
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		talkers.Go(func() {
			defer func() { _ = c.Close() }()
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				if err := talk(c, "word "+strconv.Itoa(n)); err != nil {
					t.Errorf("connection to %s, word %d: %v", to, n, err)
					return
				}
			}
		})
	}
	for i := range 30 {
		table := open(t, pod, options("next"+strconv.Itoa(i)))
		if err := table.TakeOver(nft.Redirect{All: true}); err != nil {
			t.Error(err)
			break
		}
	}
	close(over)
}
