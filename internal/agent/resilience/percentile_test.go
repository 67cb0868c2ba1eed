package resilience

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// percentileModel sorts what it knows whenever it is asked.
type percentileModel struct {
	percent int
	all     []time.Duration
}

func (m *percentileModel) value() time.Duration {
	last := slices.Clone(m.all[max(len(m.all)-256, 0):])
	if len(last) < 20 {
		return 0
	}
	slices.Sort(last)
	return max(last[max(int(math.Ceil(float64(m.percent*len(last))/100)), 1)-1], 1)
}

func TestRule17_ThePercentileIsExact(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 17))
		m := percentileModel{percent: 50 + r.IntN(51)}
		l := NewLatencyPercentile(m.percent)
		for step := range 1000 {
			switch d := time.Duration(r.Int64N(int64(1) << r.IntN(40))); r.IntN(20) {
			case 0:
				if v := m.value(); v > 0 && d >= v {
					m.all = append(m.all, d)
				}
				l.TookLonger(d)
			case 1:
				m.percent = 50 + r.IntN(51)
				l.Reconfigure(m.percent)
			default:
				m.all = append(m.all, d)
				l.Took(d)
			}
			if got, want := l.Value(), m.value(); got != want {
				t.Fatalf("seed %d, step %d: p%d is %v, want %v", seed, step, m.percent, got, want)
			}
		}
	}
}

// Attempts that are overtaken are not known to their end. As long as they count as slow ones the percentile stays where it is.
func TestRule17_WhatIsOvertakenStaysSlow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 17))
	l := NewLatencyPercentile(90)
	draw := func() time.Duration { return time.Duration(r.Int64N(int64(time.Second))) }
	for range 256 {
		l.Took(draw())
	}
	for range 5000 {
		if d := draw(); d > l.Value() {
			l.TookLonger(l.Value() + time.Millisecond)
		} else {
			l.Took(d)
		}
	}
	if v := l.Value(); v < 800*time.Millisecond || v > time.Second {
		t.Errorf("the 90th percentile has become %v", v)
	}
}

// One that was given up at the percentile has taken longer, if anything; and attempts that take no time are known, too.
func TestRule17_ThePercentileAtItsEdges(t *testing.T) {
	l := NewLatencyPercentile(50)
	for i := range 20 {
		l.Took(time.Duration(i % 2))
	}
	if l.Value() != 1 {
		t.Errorf("%v, where half take no time", l.Value())
	}
	l = NewLatencyPercentile(50)
	for i := range 20 {
		l.Took(time.Duration(1+i%2) * time.Millisecond)
	}
	for range 5 {
		l.TookLonger(time.Millisecond)
	}
	for range 4 {
		l.Took(2 * time.Millisecond)
	}
	if l.Value() != time.Millisecond { // of 15 and 14
		t.Errorf("%v: those that were given up at the percentile do not count", l.Value())
	}
}

func TestAPercentileIsExactUnderConcurrency(t *testing.T) {
	l := NewLatencyPercentile(75)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 64 {
				l.Took(time.Duration(4*j + i + 1))
				_ = l.Value()
			}
		})
	}
	wg.Wait()
	if l.Value() != 192 {
		t.Errorf("%d", l.Value())
	}
}

func TestAPercentileAllocatesNothing(t *testing.T) {
	l := NewLatencyPercentile(95)
	if n := testing.AllocsPerRun(1000, func() { l.Took(time.Millisecond); l.TookLonger(time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
