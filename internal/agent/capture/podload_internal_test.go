package capture

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFairShareIsTheMost compares with a search: the greatest share with which all together have no more than the room.
func TestFairShareIsTheMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		wants := make([]int64, r.IntN(8))
		most, sum := int64(0), int64(0)
		for i := range wants {
			wants[i] = r.Int64N(50)
			most, sum = max(most, wants[i]), sum+wants[i]
		}
		room := r.Int64N(200)
		want := int64(unlimited)
		if sum > room {
			for want = most; taken(wants, want) > room; {
				want--
			}
		}
		before := slices.Clone(wants)
		if got := fairShare(wants, room); got != want && (want < unlimited || got < most) {
			t.Fatalf("the share of %d among %v is %d, want %d", room, wants, got, want)
		}
		if !slices.Equal(before, wants) {
			t.Fatal("the wants were changed")
		}
	}
}

func taken(wants []int64, share int64) (sum int64) {
	for _, w := range wants {
		sum += min(w, share)
	}
	return sum
}

// node is a load with pods that have so many connections.
func node(limit int64, m Memory, connections ...int64) (*load, []*podLoad) {
	l := newLoad(limit, m, func() {})
	pods := make([]*podLoad, len(connections))
	for i, n := range connections {
		pods[i] = &podLoad{}
		for range n {
			l.add(pods[i])
		}
	}
	return l, pods
}

func sheds(pods []*podLoad) (list []int) {
	for i, p := range pods {
		if loaded(&p.shed) != nil {
			list = append(list, i)
		}
	}
	return list
}

// TestOnePodsConnectionsCostTheOthersNothing: the one with the most sheds, and the others do not.
func TestOnePodsConnectionsCostTheOthersNothing(t *testing.T) {
	l, pods := node(100, nil, 5, 90, 5, 1)
	changed, v, turned := l.evaluate(pods)
	if v.reason == nil || v.all || !turned || !slices.Equal(sheds(pods), []int{1}) || len(changed) != 1 || changed[0] != pods[1] {
		t.Fatalf("%v: pods %v shed, changed %d", v, sheds(pods), len(changed))
	}
	for range 10 { // a neighbour may go on to have more
		l.add(pods[0])
	}
	if l.evaluate(pods); !slices.Equal(sheds(pods), []int{1}) {
		t.Errorf("pods %v shed", sheds(pods))
	}
	for range 22 {
		l.remove(pods[1])
	}
	if _, v, turned := l.evaluate(pods); v.reason != nil || !turned || sheds(pods) != nil {
		t.Errorf("with %d of 100 connections: %v, %v shed", l.connections.Load(), v.reason, sheds(pods))
	}
}

// TestAFloodForMemoryShedsTheFlood: first those of the pod that has the most, then all, and then it loses some.
func TestAFloodForMemoryShedsTheFlood(t *testing.T) {
	m := &fakeMemory{limit: 100, limited: true}
	l, pods := node(1<<40, m, 5000, 10, 3)
	for _, step := range []struct {
		used     int64
		shed     []int
		all, cut bool
	}{{84, nil, false, false}, {85, []int{0}, false, false}, {91, []int{0}, false, false}, {92, []int{0}, true, false}, {96, []int{0}, true, true},
		{91, []int{0}, false, false}, {80, []int{0}, false, false}, {79, nil, false, false}} {
		m.used = step.used
		_, v, _ := l.evaluate(pods)
		if !slices.Equal(sheds(pods), step.shed) || v.all != step.all || (loaded(&l.all) != nil) != step.all || v.cut != step.cut {
			t.Errorf("%d of 100: %v shed, all %t, cut %t", step.used, sheds(pods), v.all, v.cut)
		}
		for i, p := range pods {
			if p.cutting.Load() != (step.cut && i == 0) {
				t.Errorf("%d of 100: pod %d loses connections: %t", step.used, i, p.cutting.Load())
			}
		}
	}
}

// TestConnectionsToServersCountAsTheirPods: a pod's few connections may carry very many calls, each of which needs a connection.
func TestConnectionsToServersCountAsTheirPods(t *testing.T) {
	l, pods := node(100, nil, 2, 20)
	wakes := 0
	l.wake = func() { wakes++ }
	for range 298 - 20 {
		if err := l.dial(pods[0]); err != nil {
			t.Fatal(err)
		}
	}
	if l.evaluate(pods); sheds(pods) == nil || !slices.Equal(sheds(pods), []int{0}) || wakes != 0 {
		t.Fatalf("pods %v shed, woken %d times", sheds(pods), wakes)
	}
	if err := l.dial(pods[0]); !errors.Is(err, errShare) {
		t.Errorf("one more: %v", err)
	}
	if err := l.dial(pods[1]); err != nil || wakes != 1 {
		t.Errorf("another pod's: %v, woken %d times", err, wakes)
	}
	for range 278 {
		l.hungUp(pods[0])
	}
	if l.evaluate(pods); sheds(pods) != nil {
		t.Errorf("pods %v shed", sheds(pods))
	}
	if err := l.dial(pods[0]); err != nil {
		t.Error(err)
	}
}
