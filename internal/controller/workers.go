package controller

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// forEach calls do for 0 to n-1, with so many workers, and returns when all is done. If do panics, forEach does once the workers are done.
func forEach(n, workers int, do func(i int)) {
	if n == 1 || workers == 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var panicked atomic.Pointer[string]
	for range min(workers, n) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					text := fmt.Sprintf("%v\n%s", p, debug.Stack())
					panicked.Store(&text)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
	if text := panicked.Load(); text != nil {
		panic(*text)
	}
}
