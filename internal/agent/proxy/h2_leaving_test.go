package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// A client says goodbye and closes at once: both arrive together, and its connection ends with that.
func TestAClientThatSaysGoodbyeAndClosesIsGone(t *testing.T) {
	for range 20 { // whether they arrive together is up to the kernel
		w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, nil, nil) })
		c := w.dialH2(http2test.Options{})
		getH2(t, c, "/")
		check(t, c.Frames(func(fr *http2.Framer) error { return fr.WriteGoAway(0, http2.ErrCodeNo, nil) }))
		c.Close()
		w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	}
}
