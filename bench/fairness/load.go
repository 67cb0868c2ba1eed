package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const request = "GET / HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"

var response = []byte("HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\n" + strings.Repeat("x", 512))

// serveAnswers answers whatever comes, and writes where it listens.
func serveAnswers([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for b := make([]byte, 4<<10); ; {
				if n, err := c.Read(b); err != nil || !bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
					return
				}
				if _, err := c.Write(response); err != nil {
					return
				}
			}
		}()
	}
}

// caller makes calls one after the other.
type caller struct {
	to    string
	conn  net.Conn
	fresh bool
	buf   [1 << 10]byte
}

func (c *caller) call() error {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.to)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	if _, err := c.conn.Write([]byte(request)); err != nil {
		return err
	}
	for n := 0; n < len(response); {
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			return err
		}
		if n += m; n > 12 && !bytes.HasPrefix(c.buf[:n], []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answered %q", c.buf[:n])
		}
		if bytes.HasPrefix(c.buf[:n], []byte("HTTP/1.1 200")) && bytes.HasSuffix(c.buf[:n], []byte("xxxx")) && n > 512 {
			break
		}
	}
	if c.fresh {
		_ = c.conn.Close()
		c.conn = nil
	}
	return nil
}

// runFlood calls an address over so many connections, at a rate in all or as fast as they go, until it is terminated. Then it writes its calls per
// second.
func runFlood(args []string) error {
	if len(args) != 4 {
		return errors.New("address, connections, rate, fresh")
	}
	conns, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rate, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	callers := make([]*caller, conns)
	for i := range callers {
		callers[i] = &caller{to: args[0], fresh: args[3] == "true"}
		if err := callers[i].call(); err != nil {
			return err
		}
	}
	var calls atomic.Int64
	for i, c := range callers {
		go c.repeat(rate/float64(conns), float64(i)/float64(conns), &calls)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("ready")
	began := time.Now()
	<-stop
	fmt.Println(float64(calls.Load()) / time.Since(began).Seconds())
	os.Exit(0)
	return nil
}

// repeat makes calls at a rate, from a part of the time between two of them on, or as fast as they go, and counts them.
func (c *caller) repeat(rate, from float64, calls *atomic.Int64) {
	every := time.Duration(0)
	if rate > 0 {
		every = time.Duration(float64(time.Second) / rate)
	}
	for due := time.Now().Add(time.Duration(from * float64(every))); ; due = due.Add(every) {
		if rate > 0 {
			time.Sleep(time.Until(due))
		}
		if err := c.call(); err != nil {
			fmt.Fprintln(os.Stderr, "flood:", err)
			return
		}
		calls.Add(1)
	}
}

// latencies are those of one pod's calls.
type latencies []time.Duration

// quiet calls an address at a constant rate. A call's latency counts from when it was due.
func (w *world) quiet(to netip.AddrPort, o options, l *latencies) error {
	callers := []*caller{{to: to.String()}, {to: to.String()}, {to: to.String()}, {to: to.String()}}
	ended := make(chan latencies)
	for i, c := range callers {
		if err := c.call(); err != nil {
			return err
		}
		every := time.Duration(float64(len(callers)) / o.rate * float64(time.Second))
		go func() {
			var own latencies
			due := time.Now().Add(every * time.Duration(i) / time.Duration(len(callers)))
			for end := time.Now().Add(o.duration); due.Before(end); due = due.Add(every) {
				time.Sleep(time.Until(due))
				due = time.Now() // the clock of this process is not the agent's doing
				if err := c.call(); err != nil {
					fmt.Fprintln(os.Stderr, "the quiet pod's call failed:", err)
					break
				}
				own = append(own, time.Since(due))
			}
			_ = c.conn.Close()
			ended <- own
		}()
	}
	for range callers {
		*l = append(*l, <-ended...)
	}
	return nil
}

func (l latencies) quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(q*float64(len(l))), len(l)-1)]
}

// compare prints what others are of l.
func (l latencies) compare(name string, others *latencies, rate float64) {
	slices.Sort(l)
	slices.Sort(*others)
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	fmt.Printf("%-40s %14.0f/%13.0f %14.0f/%13.0f %7.2f %9.0f\n", name, micros(l.quantile(0.5)), micros(l.quantile(0.99)),
		micros(others.quantile(0.5)), micros(others.quantile(0.99)), micros(others.quantile(0.99))/micros(l.quantile(0.99)), rate)
}
