package http2

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWritersAreUnderstood by the other implementation.
func TestWritersAreUnderstood(t *testing.T) {
	s := InitialSettings()
	s.MaxConcurrentStreams = 5
	var e Encoder
	e.Init(defaultTable)
	b := blockOf(":status: 200")
	var out []byte
	out = s.Append(out)
	out = AppendSettingsAck(out)
	out = e.AppendHeaders(out, b, &Outgoing{Stream: 1})
	out = append(AppendDataHeader(out, 1, 3, false), "abc"...)
	out = AppendDataHeader(out, 1, 0, true)
	out = AppendRSTStream(out, 3, Cancel)
	out = AppendPing(out, [8]byte{1, 2})
	out = AppendPingAck(out, []byte("12345678"))
	out = AppendWindowUpdate(out, 0, 7)
	out = AppendWindowUpdate(out, 5, MaxWindow)
	out = AppendGoAway(out, 5, EnhanceYourCalm, "why")
	got, streamErrs, err := theirs(out)
	if streamErrs > 0 || err.Error() != "EOF" {
		t.Fatal(streamErrs, err)
	}
	want := []seen{
		{Type: SettingsFrame, Payload: "\x00\x03\x00\x00\x00\x05"},
		{Type: SettingsFrame, Ack: true},
		{Type: Headers, Stream: 1, Payload: "\x88"},
		{Type: Data, Stream: 1, Payload: "abc", Flow: 3},
		{Type: Data, Stream: 1, End: true},
		{Type: RSTStream, Stream: 3, Number: uint32(Cancel)},
		{Type: Ping, Payload: "\x01\x02\x00\x00\x00\x00\x00\x00"},
		{Type: Ping, Ack: true, Payload: "12345678"},
		{Type: WindowUpdate, Number: 7},
		{Type: WindowUpdate, Stream: 5, Number: MaxWindow},
		{Type: GoAway, Last: 5, Number: uint32(EnhanceYourCalm), Payload: "why"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}
