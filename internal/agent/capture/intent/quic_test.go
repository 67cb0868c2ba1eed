package intent

import (
	"errors"
	"net/netip"
	"testing"
)

func TestRejectedQUICInNormalForm(t *testing.T) {
	block := Block{Prefix: netip.MustParsePrefix("203.0.113.0/24")}
	unmasked := Block{Prefix: netip.MustParsePrefix("203.0.113.9/24")}
	for name, tc := range map[string]struct{ give, want QUIC }{
		"none":                   {},
		"all and blocks are all": {QUIC{All: true, Blocks: []Block{block}}, QUIC{All: true}},
		"blocks, each once":      {QUIC{Blocks: []Block{unmasked, block}}, QUIC{Blocks: []Block{block}}},
	} {
		for _, all := range []bool{false, true} { // whatever else is redirected
			got, err := (Redirect{All: all, RejectQUIC: tc.give}).Normal()
			if err != nil || !got.RejectQUIC.Equal(tc.want) {
				t.Errorf("%s: %+v, %v", name, got.RejectQUIC, err)
			}
		}
	}
	if _, err := (Redirect{RejectQUIC: QUIC{Blocks: make([]Block, MaxBlocks+1)}}).Normal(); !errors.Is(err, ErrInvalid) {
		t.Errorf("too many blocks: %v", err)
	}
	if (Redirect{}).Equal(Redirect{RejectQUIC: QUIC{All: true}}) {
		t.Error("what is rejected makes no difference")
	}
}

func TestMayMeetQUIC(t *testing.T) {
	prefix := netip.MustParsePrefix("203.0.113.0/24")
	for name, tc := range map[string]struct {
		give Redirect
		want bool
	}{
		"nothing":               {},
		"everything":            {Redirect{All: true}, true},
		"the port of hosts":     {Redirect{Ports: []uint16{80, 443}}, true},
		"other ports":           {Redirect{Ports: []uint16{80}}, false},
		"any port of a block":   {Redirect{Blocks: []Block{{Prefix: prefix}}}, true},
		"another port":          {Redirect{Blocks: []Block{{Prefix: prefix, Ports: []uint16{5432}}}}, false},
		"Services":              {Redirect{Addrs: []netip.AddrPort{netip.MustParseAddrPort("10.96.0.7:443")}}, false},
		"Services, rejected by": {Redirect{RejectQUIC: QUIC{Blocks: []Block{{Prefix: prefix}}}}, true},
	} {
		if got := tc.give.MayMeetQUIC(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
