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
	to   string
	conn net.Conn
	// opens is how many connections it opens, each for one call, before it closes them all and begins anew; 0: it makes all calls on one.
	opens int
	open  []net.Conn
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
	if c.opens > 0 {
		c.next()
	}
	return nil
}

// next has the next call made on a new connection.
func (c *caller) next() {
	c.open, c.conn = append(c.open, c.conn), nil
	if len(c.open) < c.opens {
		return
	}
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = c.open[:0]
}

// runFlood calls an address with so many callers, at a rate in all or as fast as they go, until it is terminated. Then it writes its calls per second.
func runFlood(args []string) error {
	if len(args) != 4 {
		return errors.New("address, callers, rate, connections that each opens")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rate, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	opens, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	callers := make([]*caller, count)
	for i := range callers {
		callers[i] = &caller{to: args[0], opens: opens}
		if err := callers[i].call(); err != nil {
			return err
		}
	}
	var calls atomic.Int64
	for i, c := range callers {
		go c.repeat(rate/float64(count), float64(i)/float64(count), &calls)
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

// quiet calls an address at a constant rate. A call's latency counts from when it was sent: the clock of this process is not the agent's doing.
func (w *world) quiet(to netip.AddrPort, o options) (sample, error) {
	callers := []*caller{{to: to.String()}, {to: to.String()}, {to: to.String()}, {to: to.String()}}
	ended := make(chan sample)
	for i, c := range callers {
		if err := c.call(); err != nil {
			return sample{}, err
		}
		every := time.Duration(float64(len(callers)) / o.rate * float64(time.Second))
		go func() { ended <- c.measure(every, float64(i)/float64(len(callers)), o.duration) }()
	}
	var all sample
	for range callers {
		one := <-ended
		all.took, all.failed = append(all.took, one.took...), all.failed+one.failed
	}
	slices.Sort(all.took)
	return all, nil
}

// measure makes calls at a distance from each other for so long, beginning with a part of that distance.
func (c *caller) measure(every time.Duration, from float64, length time.Duration) (s sample) {
	due := time.Now().Add(time.Duration(from * float64(every)))
	for end := time.Now().Add(length); due.Before(end); due = due.Add(every) {
		time.Sleep(time.Until(due))
		due = time.Now()
		if err := c.call(); err != nil {
			fmt.Fprintln(os.Stderr, "the quiet pod's call failed:", err)
			s.failed++
			c.conn = nil
			continue
		}
		s.took = append(s.took, time.Since(due))
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	return s
}
