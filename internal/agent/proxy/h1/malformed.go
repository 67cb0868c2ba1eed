package h1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// refuse deals with a request that cannot be understood, or does not come to its end (rules 27 and 30). It is answered if
// a policy governs it, and passed on if it was never ours.
func (s *Session) refuse(err error) step {
	var bad *http1.Error
	status, ended := 0, false
	switch {
	case errors.Is(err, http1.ErrMemory): // what else its pod needs memory for goes on
		s.client.Conn.ResetOnClose()
		return closeNow
	case errors.As(err, &bad):
		status = bad.Status
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, ended = 408, true
	case errors.Is(err, io.ErrUnexpectedEOF):
		ended = true
	default:
		return closeNow
	}
	if !s.ours(ended) {
		return passThrough
	}
	if status == 0 {
		return closeNow
	}
	s.malformed(status, err, nil)
	r := http1.Reply{Status: status, Reason: "malformed_request", ConnOption: http1.ConnClose, ToHead: s.x.request.Info().Head}
	s.x.out.until = time.Now().Add(s.driver.headTimeout) // no policy's timeout is known to be in force
	if _, err := r.WriteTo(&s.x.out); err != nil {
		return closeNow
	}
	return closeInStages
}

// malformed reports a request that is refused with a status. q is its head if that could be read.
func (s *Session) malformed(status int, why error, q *http1.Request) {
	r := drive.Refused{Pod: s.client.Pod, Original: s.client.Original, Status: status, Reason: "request head not complete in time"}
	var bad *http1.Error
	if errors.As(why, &bad) {
		r.Reason = bad.Error()
	}
	if q != nil {
		r.Method, r.Host, r.Path = q.Method(), q.Host(), q.Target()
	}
	s.driver.malformed(r)
}

// ours reports whether a request that cannot be understood is governed: one on this connection was, or a policy governs whatever
// goes this way, or it names a host that one governs. Otherwise it leaves what was read in prefix. ended says that no more of
// the head is to be had.
func (s *Session) ours(ended bool) bool {
	if s.routes.Governed() {
		return true
	}
	s.prefix = s.in.reader.Message()
	if len(s.prefix) == 0 {
		return false
	}
	if !s.search(len(s.prefix)) {
		return true // it cannot be searched
	}
	s.prefix = bytes.Clone(s.prefix)
	http := detect.Detect(s.prefix) == detect.HTTP1
	if http && !ended && !s.restOfHead() {
		return true
	}
	named := false
	for host := range hostsIn(s.prefix) {
		named = true
		if s.routes.Governs(host) {
			return true
		}
	}
	return !named && http && s.routes.Governs(nil)
}

const (
	// maxBadHead is how much of a head that cannot be understood is searched for a host; more than a head may have.
	maxBadHead = 512 << 10
	// badHeadPause is how long the client may pause in it. A client that sends a request line sends the rest of the head with it, and others
	// should not be held up by much.
	badHeadPause = time.Second
)

// restOfHead reads the rest of a head that cannot be understood, as long as the client goes on sending it: the line with its host
// may come behind the one that is bad. It fails when there is no memory for it.
func (s *Session) restOfHead() bool {
	var piece [4 << 10]byte
	for end := time.Now().Add(s.driver.headTimeout); len(s.prefix) < maxBadHead && !complete(s.prefix); {
		now := time.Now()
		n, err := s.client.Conn.Read(piece[:], now, drive.Earlier(end, now.Add(badHeadPause)))
		if !s.search(n) {
			return false
		}
		s.prefix = append(s.prefix, piece[:n]...)
		if err != nil {
			break // it shows again
		}
	}
	return true
}

// search accounts for n bytes more of a head that is kept to be searched.
func (s *Session) search(n int) bool {
	ok := s.client.Share.Requests.Reserve(int64(n))
	if ok {
		s.searched += int64(n)
	}
	return ok
}

func (s *Session) forgetSearched() {
	if s.searched > 0 {
		s.client.Share.Requests.Release(s.searched)
		s.searched = 0
	}
}

// complete reports whether b holds an empty line, by whichever line ends.
func complete(b []byte) bool {
	return bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\n\n"))
}

// hostsIn finds what some server may take for the host in a head that is malformed. It would rather see one too many: lines
// end at a bare CR or LF too, control characters and spaces count for nothing, and every line and every member of a list counts.
func hostsIn(head []byte) func(yield func(host []byte) bool) {
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end]
	}
	return func(yield func([]byte) bool) {
		all := func(value []byte) bool {
			for host := range bytes.SplitSeq(value, []byte(",")) {
				if host = host[bytes.LastIndexByte(host, '@')+1:]; len(host) > 0 && !yield(host) {
					return false
				}
			}
			return true
		}
		if !all(authorityIn(head)) {
			return
		}
		lines := bytes.FieldsFunc(head, func(c rune) bool { return c == '\r' || c == '\n' })
		for i, line := range lines {
			name, value, _ := bytes.Cut(line, []byte(":"))
			if !bytes.EqualFold(visible(name), []byte("host")) {
				continue
			}
			if value = visible(value); len(value) == 0 && i+1 < len(lines) && (lines[i+1][0] == ' ' || lines[i+1][0] == '\t') {
				value = visible(lines[i+1]) // obs-fold of RFC 9112 section 5.2
			}
			if !all(value) {
				return
			}
		}
	}
}

// authorityIn returns the authority of a request line whose target has one.
func authorityIn(head []byte) []byte {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	words := bytes.Fields(line)
	if len(words) < 2 {
		return nil
	}
	if string(words[0]) == "CONNECT" {
		return words[1]
	}
	if _, after, ok := bytes.Cut(words[1], []byte("://")); ok {
		if end := bytes.IndexAny(after, "/?#"); end >= 0 {
			after = after[:end]
		}
		return after
	}
	return nil
}

// visible returns b without control characters and spaces.
func visible(b []byte) []byte {
	return bytes.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return -1
		}
		return c
	}, b)
}
