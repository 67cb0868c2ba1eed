package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/websocket"
)

// serve answers every path as its query string says:
//
//	status=503       the status to answer (default 200)
//	failPercent=30   that share of the calls with this key fail with status (default 503), evenly spread
//	failFirst=2      the first calls with this key fail with status (default 503)
//	delay=500ms      wait before answering
//	delayFirst=1     only the first calls with this key wait
//	reset=1          read the request, then reset the connection instead of answering
//	retryAfter=2     send Retry-After
//	events=3&gap=1s  send so many lines, each as it comes, with that pause before all but the first
//	hints=1          send 103 before the answer, and a trailer behind it
//	key=x            what the call is counted under (default: the path)
//
// A request to upgrade to a websocket is granted, and what comes behind it echoed: messages if the client has sent a key (RFC 6455), and bytes
// otherwise. /_bulk?bytes=N sends that many bytes, and answers anything but GET with the SHA-256 of its body.
//
// Other ports, if flags name them, speak gRPC (grpc.go), refuse streams of HTTP/2 (refuse.go), speak as much of SMTP as a client needs (greet.go), and echo UDP.
//
// /_stats?key=x answers what was seen under a key, /_conns the connection counts, /_mode?status=503&delay=1s makes every later
// call behave so (an empty query ends it), /_reset forgets everything.
func serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	httpAddr := fs.String("http", ":8080", "address of the HTTP server")
	echoAddr := fs.String("echo", ":7070", "address of the raw TCP server, which sends back what it receives")
	grpcAddr := fs.String("grpc", "", "address of the gRPC server, if there is to be one")
	mailAddr := fs.String("mail", "", "address of the SMTP server, if there is to be one")
	refuseAddr := fs.String("refuse", "", "address of the server that refuses streams of HTTP/2, if there is to be one")
	udpAddr := fs.String("udp", "", "address of the UDP server, which sends back what it receives, if there is to be one")
	if err := fs.Parse(args); err != nil {
		return err
	}
	u := newUpstream()
	if *udpAddr != "" {
		packets, err := net.ListenPacket("udp", *udpAddr)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = packets.Close() })
		go echoPackets(packets)
	}
	for addr, run := range map[string]func(net.Listener){
		*echoAddr: echoAll, *mailAddr: u.serveMail, *refuseAddr: u.serveRefusals, *grpcAddr: func(l net.Listener) { u.serveGRPC(ctx, l) },
	} {
		if err := listen(ctx, addr, run); err != nil {
			return err
		}
	}
	srv := &http.Server{Addr: *httpAddr, Handler: u, ConnState: u.conns.track, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// listen has a server run at an address, if there is one, until ctx ends.
func listen(ctx context.Context, addr string, run func(net.Listener)) error {
	if addr == "" {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go run(l)
	return nil
}

func echoAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// seen is what the upstream saw under one key.
type seen struct {
	Requests      int            `json:"requests"`
	Failed        int            `json:"failed"`
	Methods       map[string]int `json:"methods"`
	Remotes       map[string]int `json:"remotes"`
	Keys          map[string]int `json:"keys"` // Idempotency-Key values
	Concurrent    int            `json:"concurrent"`
	MaxConcurrent int            `json:"maxConcurrent"`
	LastHeader    http.Header    `json:"lastHeader"`
	Bodies        map[string]int `json:"bodies"` // request bodies up to 256 bytes
}

type upstream struct {
	host  string
	conns connCounter

	mu   sync.Mutex
	seen map[string]*seen
	mode map[string][]string
}

func newUpstream() *upstream {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &upstream{host: host, seen: map[string]*seen{}}
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_stats":
		u.writeStats(w, r.URL.Query().Get("key"))
	case "/_conns":
		writeJSON(w, u.conns.counts())
	case "/_mode":
		u.mu.Lock()
		u.mode = r.URL.Query()
		u.mu.Unlock()
	case "/_reset":
		u.mu.Lock()
		u.seen, u.mode = map[string]*seen{}, nil
		u.mu.Unlock()
		u.conns.forget()
	case "/_bulk":
		bulk(w, r)
	default:
		switch {
		case r.Header.Get("Sec-WebSocket-Key") != "":
			echoMessagesOf.ServeHTTP(w, r)
		case r.Header.Get("Upgrade") == "websocket":
			echoUpgraded(w)
		default:
			u.answer(w, r)
		}
	}
}

// echoMessagesOf is a websocket that sends back the messages it receives. It asks for no origin.
var echoMessagesOf = websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}

// echoUpgraded switches protocols and sends back whatever comes.
func echoUpgraded(w http.ResponseWriter) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err == nil {
		_, _ = io.Copy(c, rw)
	}
}

// events sends so many lines with a pause between them.
func events(w http.ResponseWriter, r *http.Request, n int, gap time.Duration) {
	for i := range n {
		if i > 0 {
			select {
			case <-time.After(gap):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "event %d\n", i+1)
		_ = http.NewResponseController(w).Flush()
	}
}

func (u *upstream) writeStats(w http.ResponseWriter, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.seen[key]
	if s == nil {
		s = &seen{}
	}
	writeJSON(w, s)
}

func (u *upstream) answer(w http.ResponseWriter, r *http.Request) {
	q := u.query(r)
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	s, n, fails := u.enter(r, q, body)
	defer u.leave(s)
	if pause(r.Context(), delayOf(q, n)); r.Context().Err() != nil {
		return
	}
	if first(q, "reset") != "" {
		resetConn(w)
		return
	}
	if ra := first(q, "retryAfter"); ra != "" {
		w.Header().Set("Retry-After", ra)
	}
	w.Header().Set("Server-Pod", u.host)
	if first(q, "hints") != "" {
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Behind")
		defer w.Header().Set("Behind", "the body")
	}
	w.WriteHeader(statusOf(q, fails))
	if n, err := strconv.Atoi(first(q, "events")); err == nil {
		gap, _ := time.ParseDuration(first(q, "gap"))
		events(w, r, n, gap)
		return
	}
	fmt.Fprintf(w, "%s %d bytes from %s\n", r.Method, len(body), r.RemoteAddr)
}

// query returns the mode in force, or the request's own query.
func (u *upstream) query(r *http.Request) map[string][]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.mode) > 0 {
		return u.mode
	}
	return r.URL.Query()
}

// delayOf is how long the call waits that came after n others with its key.
func delayOf(q map[string][]string, n int) time.Duration {
	if only, err := strconv.Atoi(first(q, "delayFirst")); err == nil && n >= only {
		return 0
	}
	d, _ := time.ParseDuration(first(q, "delay"))
	return d
}

// under is what was seen under a key. The lock is held.
func (u *upstream) under(key string) *seen {
	s := u.seen[key]
	if s == nil {
		s = &seen{Methods: map[string]int{}, Remotes: map[string]int{}, Keys: map[string]int{}, Bodies: map[string]int{}}
		u.seen[key] = s
	}
	return s
}

// enter counts a call, says how many came before it, and decides whether it is one of those that fail.
func (u *upstream) enter(r *http.Request, q map[string][]string, body []byte) (s *seen, n int, fails bool) {
	key := r.URL.Query().Get("key")
	if key == "" {
		key = r.URL.Path
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s = u.under(key)
	n = s.Requests
	s.Requests++
	s.Concurrent++
	s.MaxConcurrent = max(s.MaxConcurrent, s.Concurrent)
	s.Methods[r.Method]++
	s.LastHeader = r.Header.Clone()
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		s.Remotes[host]++
	}
	if k := r.Header.Get("Idempotency-Key"); k != "" && len(s.Keys) < 10000 {
		s.Keys[k]++
	}
	if len(body) <= 256 && len(s.Bodies) < 1000 {
		s.Bodies[string(body)]++
	}
	percent, _ := strconv.Atoi(first(q, "failPercent"))
	firstN, _ := strconv.Atoi(first(q, "failFirst"))
	// Evenly spread: call n fails when the running total of failures owed passes a whole number.
	fails = n < firstN || (n+1)*percent/100 > n*percent/100
	if fails {
		s.Failed++
	}
	return s, n, fails
}

func (u *upstream) leave(s *seen) {
	u.mu.Lock()
	s.Concurrent--
	u.mu.Unlock()
}

func statusOf(q map[string][]string, fails bool) int {
	status, err := strconv.Atoi(first(q, "status"))
	_, share := q["failPercent"]
	_, firsts := q["failFirst"]
	switch {
	case (share || firsts) && !fails:
		return http.StatusOK
	case err == nil:
		return status
	case fails:
		return http.StatusServiceUnavailable
	default:
		return http.StatusOK
	}
}

func first(q map[string][]string, k string) string {
	if v := q[k]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// resetConn closes the connection with a TCP reset.
func resetConn(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	c.Close()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// connCounter counts the connections that carried at least one request, so that probes and control calls, which use the same
// port, can be distinguished by taking differences.
type connCounter struct {
	mu          sync.Mutex
	Open        int `json:"open"`
	MaxOpen     int `json:"maxOpen"`
	TotalOpened int `json:"totalOpened"`
}

func (c *connCounter) track(_ net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.Open++
		c.TotalOpened++
		c.MaxOpen = max(c.MaxOpen, c.Open)
	case http.StateClosed, http.StateHijacked:
		c.Open--
	case http.StateActive, http.StateIdle:
	}
}

func (c *connCounter) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]int{"open": c.Open, "maxOpen": c.MaxOpen, "totalOpened": c.TotalOpened}
}

func (c *connCounter) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.MaxOpen, c.TotalOpened = c.Open, 0
}
