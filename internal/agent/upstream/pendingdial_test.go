package upstream

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

// joiners are requests that arrive while a connection is made for the first one.
func joiners(t *testing.T, p *Pool, n int) (first *asking, others []*asking) {
	t.Helper()
	if first = shared(); first.ask(p) != Dial {
		t.Fatal("the first request makes no connection")
	}
	for range n {
		r := shared()
		if a := r.ask(p); a != Joined {
			t.Fatalf("answer %d, want Joined", a)
		}
		others = append(others, r)
	}
	return first, others
}

func TestRequestsThatArriveTogetherShareTheConnection(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	first, others := joiners(t, p, 3)
	l := dial(t, p, first)
	l.SetCapacity(10)
	for _, r := range others {
		<-r.woken
		if got := redeem(t, p, r); got.Conn != l.Conn {
			t.Error("another connection")
		} else {
			got.Release(time.Now(), true)
		}
	}
	if n := d.dials.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
	l.Release(time.Now(), true)
	checkSums(t, p)
	if n := l.to.host.outstanding.Load(); n != 0 || p.Stats() != (Stats{Idle: 1}) {
		t.Errorf("%d calls are under way, %+v", n, p.Stats())
	}
}

// Those for whom there is no room on the connection share others, which are expected to carry as many as it does.
func TestWhoFindsNoRoomSharesTheNextConnection(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	first, others := joiners(t, p, 4)
	l := dial(t, p, first)
	l.SetCapacity(2)
	made := []Lease{l}
	for _, i := range []int{1, 3} {
		<-others[i].woken
		if a, _ := p.Redeem(time.Now(), &others[i].Request); a != Dial {
			t.Fatalf("answer %d, want Dial", a)
		}
	}
	for _, i := range []int{1, 3} {
		next := dial(t, p, others[i])
		next.SetCapacity(next.Expected())
		made = append(made, next)
	}
	for i, conn := range map[int]*Conn{0: l.Conn, 2: made[1].Conn} {
		<-others[i].woken
		if got := redeem(t, p, others[i]); got.Conn != conn {
			t.Errorf("request %d has another connection", i)
		} else {
			got.Release(time.Now(), true)
		}
	}
	for _, l := range made {
		l.Release(time.Now(), true)
	}
	if n := d.dials.Load(); n != 3 {
		t.Errorf("%d connections were made", n)
	}
	checkSums(t, p)
}

func TestAConnectionThatCannotBeMadeFailsAllWhoWait(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	d.err = syscall.ECONNREFUSED
	first, others := joiners(t, p, 2)
	others[0].cancel(p)
	if _, err := p.Dial(t.Context(), &first.Request); err == nil {
		t.Fatal("connected")
	}
	<-others[1].woken
	if a, _ := p.Redeem(time.Now(), &others[1].Request); a != Failed || !errors.Is(others[1].Err(), syscall.ECONNREFUSED) {
		t.Errorf("answer %d, %v", a, others[1].Err())
	}
	checkSums(t, p)
	if p.Stats() != (Stats{}) {
		t.Errorf("stats %+v", p.Stats())
	}
}

// Another one makes the connection when the one that did gives up.
func TestWhoGivesUpLeavesTheConnectionToOthers(t *testing.T) {
	for name, givesUp := range map[string]func(p *Pool, r *asking){
		"before it began": func(p *Pool, r *asking) { r.cancel(p) },
		"while it was made": func(p *Pool, r *asking) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, _ = p.Dial(ctx, &r.Request)
		},
		"in the call's own time": func(p *Pool, r *asking) {
			ctx, cancel := context.WithDeadline(context.Background(), time.Now())
			defer cancel()
			_, _ = p.Dial(ctx, &r.Request)
		},
		"before it said what the connection can carry": func(p *Pool, r *asking) {
			l, err := p.Dial(context.Background(), &r.Request)
			if err == nil {
				l.Release(time.Now(), false)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, nil, listen(t).addr)
			first, others := joiners(t, p, 2)
			givesUp(p, first)
			<-others[0].woken
			if a, _ := p.Redeem(time.Now(), &others[0].Request); a != Dial {
				t.Fatalf("answer %d, want Dial", a)
			}
			l := dial(t, p, others[0])
			l.SetCapacity(2)
			<-others[1].woken
			redeem(t, p, others[1]).Release(time.Now(), true)
			l.Release(time.Now(), true)
			checkSums(t, p)
			if p.Stats() != (Stats{Idle: 1}) {
				t.Errorf("stats %+v", p.Stats())
			}
		})
	}
}

// Where a request goes is its owner's to ask while it waits, whatever becomes of the connection that it waits for.
func TestTheHostOfAWaitingRequestIsItsOwners(t *testing.T) {
	addr := listen(t).addr
	p, _ := newPool(t, nil, addr)
	first, others := joiners(t, p, 3)
	l := dial(t, p, first)
	landed := make(chan struct{})
	go func() {
		defer close(landed)
		l.SetCapacity(2)
	}()
	for _, r := range others {
		if r.peer() != addr {
			t.Errorf("it goes to %v", r.peer())
		}
	}
	<-landed
	for _, r := range others {
		r.cancel(p)
	}
	l.Release(time.Now(), true)
	checkSums(t, p)
}

func TestTheKindsOfConnectionsAreNotMixedUp(t *testing.T) {
	p, _ := newPool(t, nil, listen(t).addr)
	many, one := multiplexed(t, p, 5), take(t, p, request())
	if many.Conn == one.Conn {
		t.Error("a request of the other kind shares it")
	}
	many.Release(time.Now(), true)
	one.Release(time.Now(), true)
	if got := take(t, p, shared()); got.Conn != many.Conn {
		t.Error("an idle connection of the other kind was taken")
	}
	if got := take(t, p, request()); got.Conn != one.Conn {
		t.Error("an idle connection of the other kind was taken")
	}
}
