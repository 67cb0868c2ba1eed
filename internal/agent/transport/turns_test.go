package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// counted counts the turns that a connection takes.
func counted(c *Conn) *int {
	n := new(int)
	c.TakeTurns(func() { *n++ })
	return n
}

// Each read that has waited takes a turn, those of a layer too.
func TestReadsTakeTurns(t *testing.T) {
	c, peer := pair(t)
	turns := counted(c)
	for i := range 5 {
		say(t, peer, []byte("x"))
		now, until := soon()
		if _, err := c.Read(make([]byte, 1), now, until); err != nil {
			t.Fatal(err)
		}
		if *turns != i+1 {
			t.Fatalf("%d turns for %d reads", *turns, i+1)
		}
	}
}

// What a Mover moves takes a turn for each message, whether it waits for that or finds it, and for every second read at least of what never ends.
func TestMoversTakeTurns(t *testing.T) {
	m, dst, from, to := moving(t)
	turns := counted(m.src)
	const messages = 20
	for range messages {
		moved := make(chan error)
		go func() {
			_, _, err := m.Move(dst, MaxMove)
			moved <- err
		}()
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
	}
	if *turns < messages/2 {
		t.Errorf("%d turns for %d messages", *turns, messages)
	}
	*turns = 0
	go func() {
		_, _ = io.CopyN(from, zeros{}, 8<<20)
		from.Close()
	}()
	go func() { _, _ = io.Copy(io.Discard, to) }()
	moves := 0
	for ; ; moves++ {
		_, _, err := m.Move(dst, MaxMove)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if *turns < moves/2 {
		t.Errorf("%d turns for %d moves", *turns, moves)
	}
}

// A connection that was made takes a turn, and one for each answer in its handshake.
func TestConnectingTakesTurns(t *testing.T) {
	at, accepted := acceptor(t)
	turns := 0
	const answers = 3
	k := Connector{Dialer: netDialer{}, Turn: func() { turns++ }, Handshake: func(_ context.Context, c *Conn) error {
		var peer net.Conn = <-accepted
		for range answers {
			if _, err := peer.Write([]byte("x")); err != nil {
				return err
			}
			if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); err != nil {
				return err
			}
		}
		return nil
	}}
	c, err := k.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if turns != 1+answers {
		t.Errorf("%d turns, want one for the connection and %d for answers", turns, answers)
	}
}

// So does one whose time is up: the times of many may be up together.
func TestAReadWhoseTimeIsUpTakesATurn(t *testing.T) {
	c, _ := pair(t)
	turns := counted(c)
	now := time.Now()
	if _, err := c.Read(make([]byte, 1), now, now.Add(time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if *turns != 1 {
		t.Errorf("%d turns", *turns)
	}
}
