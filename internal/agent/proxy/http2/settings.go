package http2

import "math"

// Setting is an identifier of RFC 9113 section 6.5.2 or RFC 8441.
type Setting uint16

// The settings that are understood; others are ignored.
const (
	HeaderTableSize       Setting = 0x1
	EnablePush            Setting = 0x2
	MaxConcurrentStreams  Setting = 0x3
	InitialWindowSize     Setting = 0x4
	MaxFrameSize          Setting = 0x5
	MaxHeaderListSize     Setting = 0x6
	EnableConnectProtocol Setting = 0x8
)

const (
	// Unlimited is the value of MaxConcurrentStreams and MaxHeaderListSize that were not set.
	Unlimited = math.MaxUint32
	// DefaultWindow is the initial window of connections, and of streams unless it was set.
	DefaultWindow = 65535
	// MaxWindow is the largest window (RFC 9113 section 6.9.1).
	MaxWindow = 1<<31 - 1

	defaultTable = 4096
	settingLen   = 6
)

// Settings are those of one side of a connection.
type Settings struct {
	HeaderTableSize       uint32
	MaxConcurrentStreams  uint32
	InitialWindowSize     uint32
	MaxFrameSize          uint32
	MaxHeaderListSize     uint32
	EnablePush            bool
	EnableConnectProtocol bool
}

// InitialSettings are those in force before any were sent.
func InitialSettings() Settings {
	return Settings{HeaderTableSize: defaultTable, MaxConcurrentStreams: Unlimited, InitialWindowSize: DefaultWindow, MaxFrameSize: MaxFrame,
		MaxHeaderListSize: Unlimited, EnablePush: true}
}

// Change is what a SETTINGS frame changed that others must know of.
type Change struct {
	// Window is what is to be added to the send windows of all streams: SendWindow.Shift.
	Window int64
	// SmallestTable is the smallest of the table sizes that the frame named, the last of which is now in HeaderTableSize, and
	// Unlimited if it named none: Encoder.SetTableSize wants to know both.
	SmallestTable uint32
}

// Apply takes in the payload of a peer's SETTINGS frame, value for value. fromServer says which side the peer is. After an error the
// connection ends.
func (s *Settings) Apply(payload []byte, fromServer bool) (Change, error) {
	c := Change{SmallestTable: Unlimited}
	if len(payload)%settingLen != 0 {
		return c, ErrFrameSize
	}
	before := s.InitialWindowSize
	for ; len(payload) > 0; payload = payload[settingLen:] {
		id, value := Setting(payload[0])<<8|Setting(payload[1]), be32(payload[2:])
		if err := s.set(id, value, fromServer); err != nil {
			return c, err
		}
		if id == HeaderTableSize {
			c.SmallestTable = min(c.SmallestTable, value)
		}
	}
	c.Window = int64(s.InitialWindowSize) - int64(before)
	return c, nil
}

func (s *Settings) set(id Setting, value uint32, fromServer bool) error {
	switch id {
	case HeaderTableSize:
		s.HeaderTableSize = value
	case EnablePush:
		// RFC 9113 section 6.5.2: "a server MUST NOT explicitly set this value to 1".
		if value > 1 || value == 1 && fromServer {
			return ErrSettingValue
		}
		s.EnablePush = value == 1
	case MaxConcurrentStreams:
		s.MaxConcurrentStreams = value
	case InitialWindowSize:
		if value > MaxWindow {
			return ErrSettingWindow
		}
		s.InitialWindowSize = value
	case MaxFrameSize:
		if value < MaxFrame || value > 1<<24-1 {
			return ErrSettingValue
		}
		s.MaxFrameSize = value
	case MaxHeaderListSize:
		s.MaxHeaderListSize = value
	case EnableConnectProtocol:
		// RFC 8441 section 3: "A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value of 0 after
		// previously sending a value of 1."
		if value > 1 || value == 0 && s.EnableConnectProtocol {
			return ErrSettingValue
		}
		s.EnableConnectProtocol = value == 1
	}
	return nil
}

// Append appends a SETTINGS frame with those that are not the initial ones.
func (s *Settings) Append(dst []byte) []byte {
	from := len(dst)
	dst = appendFrameHeader(dst, 0, SettingsFrame, 0, 0)
	initial := InitialSettings()
	for _, p := range [...]struct {
		id          Setting
		value, init uint32
	}{
		{HeaderTableSize, s.HeaderTableSize, initial.HeaderTableSize},
		{EnablePush, bit(s.EnablePush), 1},
		{MaxConcurrentStreams, s.MaxConcurrentStreams, Unlimited},
		{InitialWindowSize, s.InitialWindowSize, initial.InitialWindowSize},
		{MaxFrameSize, s.MaxFrameSize, initial.MaxFrameSize},
		{MaxHeaderListSize, s.MaxHeaderListSize, Unlimited},
		{EnableConnectProtocol, bit(s.EnableConnectProtocol), 0},
	} {
		if p.value != p.init {
			dst = append(dst, byte(p.id>>8), byte(p.id))
			dst = append32(dst, p.value)
		}
	}
	putLength(dst[from:], len(dst)-from-FrameHeaderLen)
	return dst
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
