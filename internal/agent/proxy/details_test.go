package proxy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/store"
)

// Each way in which a connection fails has a name of its own: a host that has vanished does not look like a server that closed.
func TestDetailsOfFailures(t *testing.T) {
	for err, want := range map[error]struct {
		kind   call.Kind
		detail store.Detail
	}{
		io.EOF:                             {call.Reset, store.DetailClosed},
		io.ErrUnexpectedEOF:                {call.Reset, store.DetailClosed},
		syscall.ECONNRESET:                 {call.Reset, store.DetailReset},
		syscall.EPIPE:                      {call.Reset, store.DetailReset},
		syscall.ETIMEDOUT:                  {call.Reset, store.DetailNoAnswer},
		syscall.EHOSTUNREACH:               {call.Reset, store.DetailUnreachable},
		syscall.EBADF:                      {call.Reset, store.DetailBroken},
		errors.New("anything"):             {call.Reset, store.DetailBroken},
		os.ErrDeadlineExceeded:             {call.Reset, store.NoDetail},
		fmt.Errorf("x: %w", http1.ErrHost): {call.BadResponse, store.Detail(http1.ErrHost.Error())},
	} {
		if kind, detail := kindOf(err); kind != want.kind || detail != want.detail {
			t.Errorf("%v is %v, %q; want %v, %q", err, kind, detail, want.kind, want.detail)
		}
	}
}
