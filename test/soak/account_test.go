package soak

import (
	"net/http"
	"sync"
	"time"
)

// account is one call: what its client meant to do, and what client and servers have seen of it.
type account struct {
	// immutable
	id     int
	pod    int
	http2  bool
	method string
	key    string // its idempotency key; empty: none
	marked bool   // it says that it is a retry
	ruled  bool   // a rule of the policy is for it
	rpc    bool   // a call of gRPC
	opaque bool   // a connection that is passed through
	size   int    // of the request's body
	steps  []step // what servers do with its attempts, in turn; the last one goes on for ever
	leaves time.Duration

	// of the client, which alone writes it while the call lasts
	begun   time.Time // before anything was sent
	sent    time.Time // when the head had been sent
	head    time.Time // when the response's head had come
	ended   time.Time
	chunked bool // its body was sent in chunks
	sends   int  // by the client's library, which repeats some requests itself
	reused  bool // the connection had served before
	status  int
	reason  string // of an answer that the agent has made up
	stoodIn bool   // that is the fallback's
	answer  int    // the attempt whose response came, from 0; -1: none
	got     int    // bytes of the body, or of the message
	whole   bool   // the body came to its end
	backup  bool   // the response is the backup's
	code    int    // of gRPC
	message bool   // a message came
	wrong   string // what was not right about what came
	err     error

	mu       sync.Mutex
	receipts []*receipt // guarded by mu until the round is over
	backups  []*receipt // the same, by the backup
}

// receipt is one attempt as a server has seen it.
type receipt struct {
	attempt  int
	step     step
	at       time.Time // when its head had been read
	heard    time.Time // when it began to read its body
	read     time.Time // when its body had been read; zero: it was not
	answers  time.Time // before anything of the response was written
	answered time.Time // when the response's head was written; zero: it was not
	last     time.Time // when the writing of the response's last bytes began
	stalled  time.Time // when it stopped in the middle of the response
	resumed  time.Time // when it went on
	whole    bool      // they were written, to somebody who still waited
	wrong    string    // what was not right about what came
	key      string
	ill      bool // by the server that fails them all
	down     bool // by one of those that all fail at that time
	backed   bool // by the backup, which a connection falls back on
	conn     *brittleConn
}

// backedUp begins the account of an attempt at the backup.
func (a *account) backedUp(conn *brittleConn, key string) *receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := a.steps[len(a.steps)-1].size
	r := &receipt{attempt: backupAttempt, step: step{status: http.StatusOK, size: size}, at: time.Now(), conn: conn, key: key}
	a.backups = append(a.backups, r)
	return r
}

// received begins the account of another attempt.
func (a *account) received(conn *brittleConn, key string) *receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.receipts)
	r := &receipt{attempt: n, step: a.steps[min(n, len(a.steps)-1)], at: time.Now(), conn: conn, key: key}
	a.receipts = append(a.receipts, r)
	return r
}

// finished ends the account of an attempt.
func (a *account) finished(r *receipt, wanted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.whole = wanted
}

// abandoned reports whether the client did not wait for the end.
func (a *account) abandoned() bool { return a.leaves > 0 && a.err != nil }

// clean reports whether the server has sent its response as a whole, as far as it can know.
func (r *receipt) clean() bool {
	return r.whole && r.step.fault == noFault && r.conn.brokenAt().IsZero()
}

// failed reports whether the attempt was one that a breaker counts by its defaults.
func (r *receipt) failed() bool { return r.step.status >= 500 || r.step.fault != noFault }

// content is the byte at an offset of a body: the request's if attempt is -1.
func content(call, attempt, offset int) byte {
	return byte(call*31 + attempt*17 + offset*7 + offset>>8)
}

// fill writes the bytes of a body from an offset on.
func fill(b []byte, call, attempt, offset int) {
	for i := range b {
		b[i] = content(call, attempt, offset+i)
	}
}

// matches reports whether b is what a body has from an offset on.
func matches(b []byte, call, attempt, offset int) bool {
	for i := range b {
		if b[i] != content(call, attempt, offset+i) {
			return false
		}
	}
	return true
}
