package tunnel

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// mistaken is a layer with a mistake of ours.
type mistaken struct{}

func (mistaken) TryRead([]byte) (int, error)    { panic("as the test asks") }
func (mistaken) Peek(int) ([]byte, error)       { return nil, transport.ErrWouldBlock }
func (mistaken) TryWrite(p []byte) (int, error) { return len(p), nil }
func (mistaken) CloseWrite() error              { return nil }
func (mistaken) Leave()                         {}
func (mistaken) Info() (none transport.Info)    { return none }

var _ transport.Layer = mistaken{}

// A mistake costs the tunnel that it happens in and no other: wherever it happens, it arrives where the tunnel is carried, with the stack that it
// happened on, both sides have been reset, and what the tunnel held has been given back.
func TestAPanicCostsItsTunnelAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		mistake func(tun *Tunnel)
		on      string
	}{
		"from the server": {func(tun *Tunnel) { tun.server.Secure(mistaken{}) }, "tunnel.(*Tunnel).runDown"},
		"from the client": {func(tun *Tunnel) { tun.client.Secure(mistaken{}) }, "tunnel.(*Tunnel).runUp"},
		"in a check": {func(tun *Tunnel) {
			tun.idle, tun.moved = time.Millisecond, func(int64, int64) { panic("as the test asks") }
		}, "tunnel.(*Tunnel).check"},
	} {
		t.Run(name, func(t *testing.T) {
			client, inner := pair(t)
			outer, server := pair(t)
			tun := New(on(inner), on(outer), Options{Idle: time.Hour, Poller: poller(t)})
			tc.mistake(tun)
			over := make(chan string, 1)
			ended := 0
			go func() {
				defer func() {
					what, stack := panics.Cause(recover())
					if what == nil || ended != 1 {
						over <- "no panic, or it was not ended once"
					}
					over <- string(stack)
				}()
				tun.Carry(func(Result, time.Duration) { ended++ })
			}()
			_, _ = client.Write([]byte("x"))
			_, sent := server.Write([]byte("x"))
			if stack := <-over; !strings.Contains(stack, tc.on) {
				t.Errorf("on %s", stack)
			}
			_ = server.SetDeadline(time.Now().Add(patience))
			_, err := server.Read(make([]byte, 2))
			if err == nil {
				_, err = server.Read(make([]byte, 2)) // behind what has passed
			}
			if sent == nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server got %v, want a reset", err)
			}
		})
	}
}
