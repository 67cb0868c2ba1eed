package soak

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// gRPC calls are requests of HTTP/2 with one message, which are answered with one message and a status behind it, or with a status alone.

const (
	rpcType     = "application/grpc"
	statusField = "Grpc-Status"
	prefixSize  = 5 // of a message: whether it is compressed, and its length
)

// rpcStatus is the status of gRPC that stands for one of HTTP in what servers do.
func rpcStatus(status int) int {
	switch status {
	case http.StatusOK:
		return 0
	case http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusConflict:
		return 10 // ABORTED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusInternalServerError:
		return 13 // INTERNAL
	}
	return 14 // UNAVAILABLE
}

// rpcReasons are the statuses of the agent's own answers. A stream that its server resets by a mistake ends with INTERNAL.
var rpcReasons = map[string][]int{
	"circuit_open": {14}, "pool_overflow": {14}, "rate_limited": {8}, "deadline": {4}, "per_try_timeout": {4}, "connect_failure": {14}, "reset": {14, 13}, "protocol": {13},
}

// drawStatuses draws which statuses of gRPC are retried.
func drawStatuses(rng *rand.Rand) (list []policy.GRPCStatus) {
	for _, s := range []policy.GRPCStatus{8, 13, 14} {
		if rng.IntN(2) == 0 {
			list = append(list, s)
		}
	}
	return list
}

func messagePrefix(size int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
}

// readPrefix reads what is in front of a message. There is none where the body ends before it.
func readPrefix(r io.Reader) (size int, err error) {
	var b [prefixSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(b[1:])), nil
}

// makeRPC makes a request one of gRPC.
func (a *account) makeRPC(q *http.Request) {
	q.URL.Path, q.ContentLength = "/soak.Soak/Call", -1
	q.Header.Set("Content-Type", rpcType)
	q.Header.Set("Te", "trailers")
	if q.Body == nil {
		q.Body = http.NoBody
	}
	q.Body = io.NopCloser(io.MultiReader(bytes.NewReader(messagePrefix(a.size)), q.Body))
}

// readRequest reads the body of a request, and says what is wrong.
func (a *account) readRequest(q *http.Request) string {
	if a.rpc {
		size, err := readPrefix(q.Body)
		if err != nil {
			return "" // it has broken off
		}
		if size != a.size || q.Header.Get("Content-Type") != rpcType {
			return fmt.Sprintf("a message of %d bytes, of %s", size, q.Header.Get("Content-Type"))
		}
	}
	return read(q.Body, a.id, -1, a.size)
}

// message reports whether the step answers a gRPC call with a message, be it before a failure.
func (p *step) message() bool { return p.status == http.StatusOK || p.pieces > 0 }

// respondRPC answers a gRPC call as the step says.
func (s *server) respondRPC(w http.ResponseWriter, a *account, r *receipt) {
	status := strconv.Itoa(rpcStatus(r.step.status))
	w.Header().Set("Content-Type", rpcType)
	if p := &r.step; p.wait != 0 && !p.message() {
		w.Header().Set("Grpc-Retry-Pushback-Ms", strconv.FormatInt(p.wait.Milliseconds(), 10))
	}
	r.last = time.Now()
	if !r.step.message() {
		w.Header().Set(statusField, status)
		w.WriteHeader(http.StatusOK)
		a.answered(r)
		return
	}
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(messagePrefix(r.step.size)); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.writeBody(w, a, r)
	w.Header().Set(http.TrailerPrefix+statusField, status)
	a.answered(r)
}

// takeRPC reads the response to a gRPC call.
func (c *client) takeRPC(a *account, res *http.Response, attempt int) {
	size, err := readPrefix(res.Body)
	switch {
	case err == io.EOF:
		a.whole = true
	case err != nil:
		a.err = err
		return
	default:
		a.message = true
		c.body(a, res.Body, attempt)
	}
	text := res.Trailer.Get(statusField)
	if text == "" {
		text = res.Header.Get(statusField)
	}
	if a.code, err = strconv.Atoi(text); a.whole && err != nil {
		a.wrong = fmt.Sprintf("a gRPC call has ended with the status %q", text)
	}
	if a.whole && a.got != size {
		a.wrong = fmt.Sprintf("a message of %d bytes is said to have %d", a.got, size)
	}
}

// checkRPC: the response is that of the attempt.
func (r *round) checkRPC(a *account, s *step) {
	if !a.whole {
		return
	}
	if want := rpcStatus(s.status); a.code != want || a.message != s.message() {
		r.blame(a, "its client got the gRPC status %d, with a message: %v, and attempt %d was answered %d, %v", a.code, a.message, a.answer, want, s.message())
	}
}
