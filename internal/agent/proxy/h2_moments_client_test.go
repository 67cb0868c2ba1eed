package proxy

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// playClient makes a call, as playWith does, whose client acts at the moment, when it has all that its server has sent by then. The server plays
// the rest when the agent has taken in what the client has done.
func (m *moment) playClient(t *testing.T, act func(p *played, atServer *http2test.Stream)) *played {
	t.Helper()
	p := &played{called: newBarrier()}
	m.playOn(t, p, nil, func(s *http2test.Stream) {
		<-p.called.C
		if m.answered {
			_, _ = p.stream.Head()
			_, _ = p.stream.Received(m.came)
		}
		if m.over {
			_, _ = p.stream.Body()
		}
		act(p, s)
	})
	return p
}

// unharmed checks that the server's connection was kept for the next call.
func (p *played) unharmed(t *testing.T) {
	t.Helper()
	if n := len(p.srv.Conns()); n != 1 {
		t.Errorf("%d connections to the server", n)
	}
}

// GOAWAY of a client at each moment, whatever its code and its last stream, is about streams that we would open, and there are none: the call
// goes on to its end, the client may open another stream before it closes, and the server learns nothing of that.
//
//overtls:originate
func TestRule07_GoAwayOfAClientAtEachMoment(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeInternal} {
		for last, times := range map[uint32]int{0: 1, 1: 1, largestWindow: 2} {
			for _, m := range moments {
				t.Run(fmt.Sprintf("%s/%v/%d", m.name, code, last), func(t *testing.T) {
					t.Parallel()
					p := m.playClient(t, func(p *played, _ *http2test.Stream) {
						for range times {
							_ = p.client.GoAway(last, code)
						}
						_ = p.client.Ping()
					})
					p.verify(t, "200 answer0", 1)
					p.next(t)
					p.unharmed(t)
				})
			}
		}
	}
}

// RST_STREAM of a client at each moment: the call ends as one that its client has given up, its server gets the same code, and nothing
// is made anew; behind a complete response it changes nothing. Both connections go on.
//
//overtls:originate
func TestRule04_ResetsOfAClientAtEachMoment(t *testing.T) {
	for _, code := range []http2.ErrCode{
		http2.ErrCodeNo, http2.ErrCodeCancel, http2.ErrCodeInternal, http2.ErrCodeRefusedStream, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeHTTP11Required, 0xbad,
	} {
		for _, m := range moments {
			t.Run(fmt.Sprintf("%s/%v", m.name, code), func(t *testing.T) {
				t.Parallel()
				heard := make(chan error, 1)
				p := m.playClient(t, func(p *played, s *http2test.Stream) {
					_ = p.stream.Reset(code)
					err := p.client.Ping()
					if !m.over && err == nil {
						var got http2.ErrCode
						if got, err = s.AwaitReset(); err == nil && got != code {
							err = fmt.Errorf("reset with %v", got)
						}
					}
					heard <- err
				})
				if err := <-heard; err != nil {
					t.Errorf("the server heard: %v", err)
				}
				o := p.w.seen.lastCall(t).Outcome
				if gone := o.Kind == call.ClientGone || o.Truncated; gone == m.over || o.Attempts != 1 || o.Truncated != (m.answered && !m.over) {
					t.Errorf("outcome %+v", o)
				}
				p.next(t)
				p.unharmed(t)
				if n := p.seen.Load(); n != 2 {
					t.Errorf("servers saw %d streams of two calls", n)
				}
			})
		}
	}
}

// SETTINGS of a client at each moment change what follows, and not what becomes of the call.
//
//overtls:originate
func TestRule31_SettingsOfAClientAtEachMoment(t *testing.T) {
	for name, settings := range settingsInMidFlight {
		for _, m := range moments {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				acknowledged := make(chan error, 1)
				p := m.playClient(t, func(p *played, _ *http2test.Stream) {
					_ = p.client.Settings(settings...)
					acknowledged <- p.client.AwaitSettingsAck(2)
				})
				check(t, <-acknowledged)
				p.verify(t, "200 answer0", 1)
				p.next(t)
				check(t, p.client.Settings(window(65535), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}))
				p.next(t)
				p.unharmed(t)
			})
		}
	}
}
