package wire_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

func edit(p *policy.Profile) int { return p.Bindings[0].Base.Retry.MaxRetries }

// An agent that refuses one edit keeps the version before. If it refuses the next edit together with that version, it holds none, and the
// manager must not take the first version for held when it is wanted again.
func TestRule35_AVersionGivenUpInASecondRefusalIsSentAgain(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		refused := []int{2}
		picky := &applier{refuse: func(p *policy.Profile) bool { return p.Name == "a" && slices.Contains(refused, edit(p)) }}
		a := w.agent(agentOptions{node: "n0", applier: picky})
		defer a.stop()
		awaitQuiet()
		leader.publish(t, shop(2))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 1, "b": 2})
		picky.set(func() { refused = []int{1, 2, 3} })
		leader.publish(t, shop(3))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"b": 3})
		picky.set(func() { refused = nil })
		leader.publish(t, shop(1))
		awaitQuiet()
		wantEdits(t, a, map[string]int{"a": 1, "b": 1})
		if r := leader.rollout("a"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
	})
}

// Whatever agents refuse and give up, the manager calls nothing programmed that is not in force, and once nothing is refused all is.
func TestRule35_OnlyWhatIsInForceIsCalledProgrammed(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			withTestbed(t, func(t *testing.T, w *testbed) {
				rng := rand.New(rand.NewPCG(seed, 13))
				leader := w.leader("a:1")
				var refuses [2][5]bool // by profile and edit
				broken := false
				moody := &applier{
					refuse: func(p *policy.Profile) bool { return refuses[p.Name[0]-'a'][edit(p)] },
					broken: func() bool { return broken },
				}
				a := w.agent(agentOptions{node: "n0", applier: moody})
				defer func() { a.stop() }()
				want := 0
				check := func(step int) {
					t.Helper()
					for _, name := range []string{"a", "b"} {
						p := moody.snapshot().Profiles[name]
						if r := leader.rollout(name); r.Programmed > 0 && (p == nil || edit(p) != want) {
							t.Fatalf("step %d: edit %d of %s is called programmed; in force: %v", step, want, name, edits(moody.snapshot()))
						}
					}
				}
				for step := range 40 {
					moody.set(func() {
						refuses[rng.IntN(2)][rng.IntN(4)] = rng.IntN(2) == 0
						broken = rng.IntN(6) == 0
					})
					want = rng.IntN(4)
					leader.publish(t, shop(want))
					if rng.IntN(8) == 0 {
						a.stop()
						a = w.agent(agentOptions{node: "n0", applier: moody, noCopy: rng.IntN(2) == 0})
					}
					awaitQuiet()
					check(step)
				}
				moody.set(func() { refuses, broken = [2][5]bool{}, false })
				want = 4
				leader.publish(t, shop(want))
				a.stop() // what was refused is not sent again on the same stream
				a = w.agent(agentOptions{node: "n0", applier: moody})
				awaitQuiet()
				wantEdits(t, a, map[string]int{"a": want, "b": want})
				for _, name := range []string{"a", "b"} {
					if r := leader.rollout(name); r.Programmed != 1 || r.Failed != 0 {
						t.Errorf("rollout of %s: %+v", name, r)
					}
				}
			})
		})
	}
}
