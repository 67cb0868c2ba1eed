package wire_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

func TestAnAgentFindsTheReplicaThatLeads(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		for i := range 5 {
			w.manager(fmt.Sprint("follower:", i)).publish(t, shop(1))
		}
		w.leader("leader:1").publish(t, shop(2))
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		synctest.Wait() // no time passes: those that do not lead say so at once
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		w.at("leader:1").store.Serving().Stop()
		w.at("follower:3").publish(t, shop(3))
		w.at("follower:3").store.Serving().Start()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantEdits(t, a, map[string]int{"a": 3, "b": 3})
		if s := a.State(); s.Manager != "follower:3" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestAnAgentWithoutTheRightTokenGetsNothing(t *testing.T) {
	for name, o := range map[string]agentOptions{
		"unknown token":     {node: "n0", token: "forged"},
		"other node's name": {node: "n1", claim: "n0"},
	} {
		t.Run(name, func(t *testing.T) {
			withTestbed(t, func(t *testing.T, w *testbed) {
				leader := w.leader("a:1")
				leader.publish(t, shop(1))
				a := w.agent(o)
				defer a.stop()
				awaitQuiet()
				if s := a.State(); s.Connected || s.Source != subscribe.SourceNone || a.applier.count() != 0 {
					t.Errorf("state %+v, applied %d times", s, a.applier.count())
				}
				if n := leader.store.Size().Agents; n != 0 {
					t.Errorf("%d agents", n)
				}
			})
		})
	}
}

func TestATokenIsReadAgainWhenItExpires(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		identity := distribute.Identity{Node: "n0", PodUID: "agent", Expiry: time.Now().Add(10 * time.Minute)}
		w.tokens.set("token-n0", identity)
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		awaitQuiet()
		identity.Expiry = time.Now().Add(20 * time.Minute)
		w.tokens.set("next", identity)
		w.write("token-file-n0", []byte("next\n"))
		time.Sleep(10 * time.Minute)
		leader.publish(t, shop(2))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		// The file is not renewed: the stream ends with the token, the policy stays.
		time.Sleep(20 * time.Minute)
		leader.publish(t, shop(3))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "token") {
			t.Errorf("state %+v", s)
		}
	})
}

func TestTheBundleIsReadAgainForEveryConnection(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		old := w.leader("a:1")
		old.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		awaitQuiet()
		next, _, err := ca.Authorities(nil).Renew(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.stopManagers()
		w.ca = next
		w.leader("b:1").publish(t, shop(2))
		awaitQuiet()
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "certificate") {
			t.Errorf("state %+v", s)
		}
		w.write("bundle", next.Bundle())
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 2, "b": 2})

		if err := os.Remove(w.path("bundle")); err != nil {
			t.Fatal(err)
		}
		w.at("b:1").store.Serving().Stop()
		awaitQuiet()
		if s := a.State(); !strings.Contains(s.LastError, "bundle") {
			t.Errorf("state %+v", s)
		}
	})
}
