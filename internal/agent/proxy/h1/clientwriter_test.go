package h1

import (
	"errors"
	"os"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// The head of an answer has until the call's deadline to reach a client that has no room for any of it.
func TestRule01_TheHeadOfAnAnswerHasNoMoreTimeThanTheCall(t *testing.T) {
	conn, _ := pair(t)
	s := clientWriter{conn: conn}
	for n := 1; n > 0; {
		var err error
		if n, err = s.conn.TryWrite(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	s.headBy = time.Now().Add(drive.FirstCheck)
	if n, err := s.Write([]byte("HTTP/1.1 200 OK\r\n")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}
