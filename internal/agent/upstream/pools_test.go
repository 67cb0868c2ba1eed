package upstream

import (
	"context"
	"testing"
	"time"
)

func TestDockKeepsPoolsApart(t *testing.T) {
	s := listen(t)
	d := NewPools()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	var pools [3]*Pool
	keys := [...]Key{{Pod: "p1", Binding: "b", Destination: "d"}, {Pod: "p2", Binding: "b", Destination: "d"}, {Pod: "p2", Binding: "b", Destination: "e"}}
	for i, k := range keys {
		pools[i], _ = newPool(t, nil, s.addr)
		d.Put(k, pools[i])
		take(t, pools[i], request()).Release(time.Now(), true)
	}
	idle := func() (n [3]int) {
		for i, p := range pools {
			n[i] = p.Stats().Idle
		}
		return n
	}
	d.CloseIdle("p1")
	if got := idle(); got != [3]int{0, 1, 1} {
		t.Errorf("idle %v after the first pod ended", got)
	}
	if d.Remove(keys[1]) != pools[1] || d.Remove(keys[1]) != nil {
		t.Error("the wrong pool was removed")
	}
	seen := map[Key]int{}
	d.Each(func(k Key, s Stats) { seen[k] = s.Idle })
	if len(seen) != 2 || seen[keys[2]] != 1 {
		t.Errorf("pools %v", seen)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if got := idle(); got != [3]int{0, 1, 0} {
		t.Errorf("idle %v in the end", got)
	}
}
