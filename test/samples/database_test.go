package samples

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var databaseAddress = netip.MustParseAddrPort("192.0.2.30:5432")

// tcpServer greets each connection, as a server does that speaks first, and then does with it what it is given.
type tcpServer struct {
	at      netip.AddrPort
	open    atomic.Int64
	most    atomic.Int64
	greeted atomic.Int64
}

const greeting = "hello"

func serveTCP(t *testing.T, then func(net.Conn)) *tcpServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tcpServer{at: l.Addr().(*net.TCPAddr).AddrPort()}
	var serves sync.WaitGroup
	serves.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.most.Store(max(s.most.Load(), s.open.Add(1)))
			serves.Go(func() {
				defer c.Close()
				defer s.open.Add(-1)
				if _, err := io.WriteString(c, greeting); err == nil {
					s.greeted.Add(1)
					then(c)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); serves.Wait() })
	return s
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// connect opens a connection of the pod's and reads the greeting.
func (w *world) connect() (net.Conn, error) {
	c, err := net.Dial("tcp", w.at.String())
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = io.ReadFull(c, make([]byte, len(greeting)))
	return c, err
}

// Connecting is tried again, and what has been said is not.
func TestConnectionsToTheDatabaseAreRetriedAndQueriesAreNot(t *testing.T) {
	s := serveTCP(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
	})
	w := start(t, "database.yaml", databaseAddress, s.at, nil)
	w.refuse.Store(3)
	c, err := w.connect()
	if err != nil {
		t.Fatal(err)
	}
	if n := w.dials.Load(); n != 4 {
		t.Errorf("%d connections were tried, want 4", n)
	}
	if _, err := io.WriteString(c, "INSERT"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v, behind the reset", n, err)
	}
	if s.greeted.Load() != 1 || w.dials.Load() != 4 {
		t.Errorf("%d connections were greeted after %d were tried", s.greeted.Load(), w.dials.Load())
	}
	w.refuse.Store(100)
	if _, err := w.connect(); err == nil {
		t.Error("connected to a database that is away")
	}
	if n := w.dials.Load(); n != 8 {
		t.Errorf("%d connections were tried, want 4 more", n)
	}
}

// A pod has 20 connections, and another one when one of them ends.
func TestConnectionsToTheDatabaseAreBounded(t *testing.T) {
	s := serveTCP(t, echo)
	w := start(t, "database.yaml", databaseAddress, s.at, nil)
	var first net.Conn
	for range 20 {
		c, err := w.connect()
		if err != nil {
			t.Fatal(err)
		}
		first = c
	}
	if _, err := w.connect(); err == nil { // it has waited for a place
		t.Error("connected beyond the limit")
	}
	first.Close()
	for deadline := time.Now().Add(patience); ; {
		if _, err := w.connect(); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("not connected though a connection has ended: %v", err)
		}
	}
	if n := s.most.Load(); n != 20 {
		t.Errorf("%d connections were open at once", n)
	}
}
