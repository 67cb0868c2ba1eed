package intercept

import (
	"container/list"
	"sync"
)

// maxLeaves bounds the certificates that are kept. What is behind them is made again, which costs a signature. Beyond it, the pod that had the
// most made loses the one that was not used for the longest, so that a pod that goes through many names forgets its own.
const maxLeaves = 1024

// leaves are the certificates that are kept. Pods share them: each belongs to the pod that was the first to ask for it.
type leaves struct {
	mu sync.Mutex
	// guarded by mu
	byName map[leafName]*list.Element // of *leaf
	recent list.List                  // the one used last in front
	owned  map[string]int             // by pods that own any
}

func (s *leaves) init() {
	s.byName, s.owned = map[leafName]*list.Element{}, map[string]int{}
}

// find returns the place of a certificate, which may have to be made still.
func (s *leaves) find(pod string, n leafName) *leaf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byName[n]; known != nil {
		s.recent.MoveToFront(known)
		return known.Value.(*leaf)
	}
	if s.recent.Len() >= maxLeaves {
		s.forgetOne(pod)
	}
	l := &leaf{leafName: n, pod: pod}
	s.byName[n] = s.recent.PushFront(l)
	s.owned[pod]++
	return l
}

// forgetOne forgets a certificate of the pod that has the most, and of asking's if it has as many. It expects the lock.
func (s *leaves) forgetOne(asking string) {
	most := asking
	for pod, n := range s.owned {
		if n > s.owned[most] {
			most = pod
		}
	}
	at := s.recent.Back()
	for at.Value.(*leaf).pod != most {
		at = at.Prev()
	}
	delete(s.byName, s.recent.Remove(at).(*leaf).leafName)
	if s.owned[most]--; s.owned[most] == 0 {
		delete(s.owned, most)
	}
}
