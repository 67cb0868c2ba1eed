package resilience

import "testing"

// A pod that is served before its turn has had it, and comes behind the others like one that is served in its turn.
func TestAPodIsServedOnceInARound(t *testing.T) {
	for served := range 3 {
		var l line
		var pods [3]podQueue
		for range 2 {
			for i := range pods {
				l.push(&pods[i], &Waiter{})
			}
		}
		l.served(pods[served].first)
		for _, want := range [][2]int{{1, 2}, {0, 2}, {0, 1}}[served] {
			if got := l.front().queue; got != &pods[want] {
				t.Fatalf("after pod %d it is not the turn of pod %d", served, want)
			}
			l.served(l.front())
		}
		if l.front().queue != &pods[served] || l.n != 3 {
			t.Errorf("after the others it is not the turn of pod %d, with %d that wait", served, l.n)
		}
	}
}
