package soak

import (
	"sort"
	"time"
)

// lag keeps account of how late the machine wakes what waits: what a deadline is missed by on account of the machine is not the agent's.
type lag struct {
	done, ended chan struct{}
	seen        []wake // in order
}

type wake struct {
	due  time.Time
	late time.Duration
}

// lagTick is how often it looks.
const lagTick = 2 * time.Millisecond

func watchLag() *lag {
	l := &lag{done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for {
			due := time.Now().Add(lagTick)
			select {
			case <-time.After(lagTick):
				l.seen = append(l.seen, wake{due, time.Since(due)})
			case <-l.done:
				return
			}
		}
	}()
	return l
}

func (l *lag) stop() {
	close(l.done)
	<-l.ended
}

// around is for how long before and after what is looked at the machine's lateness counts too.
const around = 200 * time.Millisecond

// slack is what something may come too late by that takes several steps, each of which the machine may have been late with: what any woke late by near
// them stands for those that nobody has measured.
func (r *round) slack(from, to time.Time) time.Duration {
	return tolerance + 3*r.lag.during(from.Add(-around), to.Add(around))
}

// worst is by how much anything woke late at most, between two times.
func (l *lag) worst(from, to time.Time) (most time.Duration) {
	for _, w := range l.seen {
		if w.due.Add(w.late).After(from) && !w.due.After(to) {
			most = max(most, w.late)
		}
	}
	return most
}

// during is the sum of the latest that anything woke, between two times: several wakes in turn may each have been late. It is known once stopped.
func (l *lag) during(from, to time.Time) time.Duration {
	var sum, most time.Duration
	first := sort.Search(len(l.seen), func(i int) bool { return l.seen[i].due.Add(l.seen[i].late).After(from) })
	for _, w := range l.seen[first:] {
		if w.due.After(to) {
			break
		}
		sum += max(w.late-time.Millisecond, 0)
		most = max(most, w.late)
	}
	return max(sum, 4*most)
}
