package proxy

import (
	"testing"
	"unsafe"

	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
)

// What there is for each idle connection fits these size classes of the allocator: one field more may cost the next one. A connection that
// is passed through keeps no parsing.
func TestWhatConnectionsKeepIsSmall(t *testing.T) {
	for name, is := range map[string]struct{ size, most uintptr }{
		"connection":    {unsafe.Sizeof(connection{}), 144},
		"parsing":       {unsafe.Sizeof(parsing{}), 384},
		"tunnel.Tunnel": {unsafe.Sizeof(tunnel.Tunnel{}), 384},
	} {
		if is.size > is.most {
			t.Errorf("a %s takes %d bytes, more than %d", name, is.size, is.most)
		}
	}
}
