package controller

import (
	"strings"
	"sync/atomic"
	"testing"
)

func TestForEachDoesEverythingOnce(t *testing.T) {
	for n := range 20 {
		for workers := 1; workers < 5; workers++ {
			done := make([]atomic.Int64, n)
			forEach(n, workers, func(i int) { done[i].Add(1) })
			for i := range done {
				if done[i].Load() != 1 {
					t.Fatalf("%d of %d was done %d times by %d workers", i, n, done[i].Load(), workers)
				}
			}
		}
	}
}

func TestForEachPanicsAsItsCallsDo(t *testing.T) {
	for _, workers := range []int{1, 3} {
		err := recoverPanic(func() {
			forEach(10, workers, func(i int) {
				if i == 5 {
					panic("a bug")
				}
			})
		})
		if err == nil || !strings.Contains(err.Error(), "a bug") {
			t.Errorf("%d workers: %v", workers, err)
		}
	}
}
