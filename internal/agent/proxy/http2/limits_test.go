package http2

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestSettings: each value's bounds, and what others learn of a change.
func TestSettings(t *testing.T) {
	one := func(id Setting, v uint32) string {
		return string(append32([]byte{byte(id >> 8), byte(id)}, v))
	}
	for name, tc := range map[string]struct {
		payload    string
		fromServer bool
		want       *Error
		change     Change
	}{
		"nothing":                      {"", false, nil, Change{0, Unlimited}},
		"unknown":                      {one(0x99, 7), false, nil, Change{0, Unlimited}},
		"window":                       {one(InitialWindowSize, 10), false, nil, Change{10 - DefaultWindow, Unlimited}},
		"window twice":                 {one(InitialWindowSize, 10) + one(InitialWindowSize, DefaultWindow), false, nil, Change{0, Unlimited}},
		"window too large":             {one(InitialWindowSize, 1<<31), false, ErrSettingWindow, Change{}},
		"table, smaller in between":    {one(HeaderTableSize, 0) + one(HeaderTableSize, 100), false, nil, Change{0, 0}},
		"push of a client":             {one(EnablePush, 1), false, nil, Change{0, Unlimited}},
		"push of a server":             {one(EnablePush, 1), true, ErrSettingValue, Change{}},
		"push of 2":                    {one(EnablePush, 2), false, ErrSettingValue, Change{}},
		"frame too small":              {one(MaxFrameSize, 16383), false, ErrSettingValue, Change{}},
		"frame too large":              {one(MaxFrameSize, 1<<24), false, ErrSettingValue, Change{}},
		"frame":                        {one(MaxFrameSize, 1<<24-1), false, nil, Change{0, Unlimited}},
		"extended CONNECT of 2":        {one(EnableConnectProtocol, 2), true, ErrSettingValue, Change{}},
		"extended CONNECT taken back":  {one(EnableConnectProtocol, 1) + one(EnableConnectProtocol, 0), true, ErrSettingValue, Change{}},
		"extended CONNECT not offered": {one(EnableConnectProtocol, 0), true, nil, Change{0, Unlimited}},
		"cut":                          {"12345", true, ErrFrameSize, Change{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := InitialSettings()
			c, err := s.Apply([]byte(tc.payload), tc.fromServer)
			if !is(err, tc.want) || err == nil && c != tc.change {
				t.Errorf("%+v, %v; want %+v, %v", c, err, tc.change, tc.want)
			}
		})
	}
	s := Settings{HeaderTableSize: 0, MaxConcurrentStreams: 3, InitialWindowSize: 1 << 20, MaxFrameSize: MaxFrame, MaxHeaderListSize: 9, EnableConnectProtocol: true}
	got := InitialSettings()
	if _, err := got.Apply(s.Append(nil)[FrameHeaderLen:], true); err != nil || got != s {
		t.Errorf("%+v, %v after a frame with %+v", got, err, s)
	}
}

// TestSendWindow: it may become negative, and must not become too large.
func TestSendWindow(t *testing.T) {
	var w SendWindow
	w.Init(100)
	w.Take(80)
	if !w.Shift(-50) || w.Available() != 0 {
		t.Errorf("%d available of a negative window", w.Available())
	}
	if !w.Add(30) || w.Available() != 0 {
		t.Errorf("%d available of an empty window", w.Available())
	}
	if !w.Add(MaxWindow) || w.Available() != MaxWindow {
		t.Errorf("%d available of the largest window", w.Available())
	}
	if w.Add(1) {
		t.Error("a window grew beyond its maximum")
	}
	w.Init(1)
	if w.Shift(MaxWindow) {
		t.Error("a window was shifted beyond its maximum")
	}
}

// TestReceiveWindow: whatever order things come in, the peer never has more than the size, less than half of it only while data is
// held, and what was held comes back.
func TestReceiveWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		size := 1 + rng.Uint32N(100_000)
		var w ReceiveWindow
		w.Init(size)
		peer, held, updates, total := int64(size), int64(0), 0, int64(0)
		for range 1000 {
			if n := rng.Int64N(peer + 1); rng.IntN(2) == 0 && n > 0 {
				if !w.Receive(uint32(n)) {
					t.Fatal("refused what the window allows")
				}
				peer, held, total = peer-n, held+n, total+n
			} else if held > 0 {
				n := 1 + rng.Int64N(held)
				held -= n
				if inc := w.Consume(uint32(n)); inc > 0 {
					peer += int64(inc)
					updates++
				}
			}
			if rng.IntN(100) == 0 && size < 1<<20 {
				size += rng.Uint32N(1000)
				peer += int64(w.Grow(size))
			}
			if peer+held > int64(size) || held == 0 && 2*peer < int64(size)-1 {
				t.Fatalf("size %d: the peer has %d, held are %d", size, peer, held)
			}
		}
		if int64(updates) > 2*total/int64(size)*2+20 {
			t.Errorf("%d updates for %d bytes and a size of %d", updates, total, size)
		}
		if !w.Receive(uint32(peer)) || w.Receive(1) {
			t.Error("the window does not end where it should")
		}
	}
	var w ReceiveWindow
	w.Init(DefaultWindow)
	w.Receive(10)
	w.Shift(-DefaultWindow)
	if w.Consume(10) != 10 {
		t.Error("a window of nothing is not given back at once")
	}
}

// TestFloods: each kind is let through up to its burst, refused beyond it, let through again as time passes, and credited for what is
// useful.
func TestFloods(t *testing.T) {
	now := time.Unix(0, 0)
	head := &Frame{Type: Headers, Payload: []byte{0x82}}
	for name, tc := range map[string]struct {
		frame *Frame
		kind  drain
	}{
		"RST_STREAM":    {&Frame{Type: RSTStream}, drainReset},
		"PING":          {&Frame{Type: Ping}, drainPing},
		"pongs":         {&Frame{Type: Ping, Ack: true}, drainPing},
		"SETTINGS":      {&Frame{Type: SettingsFrame}, drainSettings},
		"empty DATA":    {&Frame{Type: Data, Flow: 5}, drainEmpty},
		"empty HEADERS": {&Frame{Type: Headers}, drainEmpty},
		"WINDOW_UPDATE": {&Frame{Type: WindowUpdate}, drainUpdate},
		"PRIORITY":      {&Frame{Type: Priority}, drainPriority},
		"unknown":       {&Frame{Type: 0x99}, drainOther},
		"GOAWAY":        {&Frame{Type: GoAway}, drainOther},
	} {
		t.Run(name, func(t *testing.T) {
			var f Flood
			f.Init(Server, now)
			a := allowances[tc.kind]
			passed := func(at time.Time) (n int32) {
				for f.Frame(tc.frame, at) == nil {
					n++
				}
				return n
			}
			atOnce := passed(now)
			if atOnce != a.burst {
				t.Errorf("%d at once, want %d", atOnce, a.burst)
			}
			if err := f.Frame(tc.frame, now); err != a.err {
				t.Errorf("refused with %v, want %v", err, a.err)
			}
			if n := passed(now.Add(2 * time.Second)); n != min(2*a.perSecond, a.burst) {
				t.Errorf("%d after two seconds, want %d", n, 2*a.perSecond)
			}
			if n := passed(now.Add(time.Hour)); n != a.burst {
				t.Errorf("%d after an hour, want %d", n, a.burst)
			}
		})
	}
	var f Flood
	f.Init(Server, now)
	for range 100_000 {
		for _, err := range []error{f.Frame(head, now), f.Frame(&Frame{Type: Ping}, now), f.Frame(&Frame{Type: RSTStream}, now),
			f.Frame(&Frame{Type: Data, EndStream: true}, now)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		f.Completed()
		f.Sent(1)
		for range updatesPerData {
			if err := f.Frame(&Frame{Type: WindowUpdate}, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.Init(Client, now)
	for range 100_000 {
		if err := f.Frame(&Frame{Type: RSTStream}, now); err != nil {
			t.Fatal("a server's resets are counted:", err)
		}
	}
}
