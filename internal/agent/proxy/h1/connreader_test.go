package h1

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
)

// The time of a look can be up before a read begins, as on a busy machine: the request that goes out with the read must not be
// forgotten.
func TestAReadWithoutTimeKeepsTheRequest(t *testing.T) {
	conn, accepted := transporttest.Pair(t)
	var l connReader
	l.attach(conn)
	in := make([]byte, 4)
	l.before = func() error { _, err := conn.TryWrite([]byte("ping")); return err }
	late := time.Now().Add(-time.Second)
	l.bound(late, late.Add(drive.FirstCheck))
	if _, err := l.Read(in); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	go func() { _, _ = io.CopyN(accepted, accepted, 4) }()
	l.bound(time.Now(), time.Now().Add(patience))
	if n, err := l.Read(in); err != nil || string(in[:n]) != "ping" {
		t.Fatalf("got %q, %v", in[:n], err)
	}
}
