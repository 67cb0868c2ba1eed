package h1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// Each way in which a connection fails has a name of its own: a host that has vanished does not look like a server that closed.
func TestDetailsOfFailures(t *testing.T) {
	for err, want := range map[error]struct {
		kind   call.Kind
		detail routes.Detail
	}{
		io.EOF:                             {call.Reset, routes.DetailClosed},
		io.ErrUnexpectedEOF:                {call.Reset, routes.DetailClosed},
		syscall.ECONNRESET:                 {call.Reset, routes.DetailReset},
		syscall.EPIPE:                      {call.Reset, routes.DetailReset},
		syscall.ETIMEDOUT:                  {call.Reset, routes.DetailNoAnswer},
		syscall.EHOSTUNREACH:               {call.Reset, routes.DetailUnreachable},
		syscall.EBADF:                      {call.Reset, routes.DetailBroken},
		errors.New("anything"):             {call.Reset, routes.DetailBroken},
		os.ErrDeadlineExceeded:             {call.Reset, routes.NoDetail},
		fmt.Errorf("x: %w", http1.ErrHost): {call.BadResponse, routes.Detail(http1.ErrHost.Error())},
	} {
		if kind, detail := kindOf(err); kind != want.kind || detail != want.detail {
			t.Errorf("%v is %v, %q; want %v, %q", err, kind, detail, want.kind, want.detail)
		}
	}
}
