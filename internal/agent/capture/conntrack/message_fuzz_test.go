package conntrack

import (
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

func FuzzAnswers(f *testing.F) {
	f.Add(restoration(1, 300, mechanism.Connection{From: netip.MustParseAddrPort("10.0.0.1:1"), To: netip.MustParseAddrPort("10.0.0.2:2")}).Data)
	f.Add(restoration(1, 300, mechanism.Connection{From: netip.MustParseAddrPort("[fd00::1]:1"), To: netip.MustParseAddrPort("[fd00::2]:2")}).Data)
	f.Fuzz(func(_ *testing.T, answer []byte) {
		_, _ = parse(answer)
	})
}

// TestAnEntryIsReadAsItIsWritten: what is asked for is what is read.
func TestAnEntryIsReadAsItIsWritten(t *testing.T) {
	for _, c := range []mechanism.Connection{
		{From: netip.MustParseAddrPort("10.0.0.1:1"), To: netip.MustParseAddrPort("10.0.0.2:2")},
		{From: netip.MustParseAddrPort("[fd00::1]:1"), To: netip.MustParseAddrPort("[fd00::2]:2")},
	} {
		e, err := parse(restoration(14001, 300, c).Data)
		if err != nil || e.flow.From != c.From || e.flow.To != c.To || e.answers != e.flow.Back() || !e.tcp || e.family != familyOf(c.From.Addr()) {
			t.Errorf("%v: %+v, %v", c, e, err)
		}
	}
}
