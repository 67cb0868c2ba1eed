package proxy

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// headsLimit is what heads of all pods may take in these tests; each that is larger than 64 KiB takes an eighth.
const headsLimit = 1 << 20

// dialAs is dial by a pod.
func (w *testProxy) dialAs(uid string) *client {
	w.t.Helper()
	c := w.connectAs(uid)
	_ = c.SetDeadline(time.Now().Add(patience))
	return newClient(w.t, c, tlslayer.HTTP1)
}

// largeHead is a request with so many bytes of fields, but for the empty line at its end.
func largeHead(path string, bytes int) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1019)+"\r\n", bytes>>10)
}

// A pod that goes on to begin large heads loses the connections on which it does; its neighbour's calls, with heads as large, are answered, and so are
// its own that take no such memory.
func TestRule30_OnePodsHalfSentHeadsCostNoOtherPod(t *testing.T) {
	w := buildWith(t, Options{HeadMemory: headsLimit}, serve(t, echo), toAny(nil))
	w.installFor(toAny(nil), pod, "greedy")
	neighbour := w.dialAs(pod) // it is there all the time, so that there are two shares
	if res, _ := neighbour.get("/first"); res.StatusCode != 200 {
		t.Fatalf("got %d", res.StatusCode)
	}
	half := largeHead("/", 100<<10)
	var begun []*client
	for range 4 { // half of the memory
		c := w.dialAs("greedy")
		c.send(half)
		begun = append(begun, c)
	}
	poll(t, func() bool { return w.server.heads.Used() == headsLimit/2 })
	for range 8 {
		c := w.dialAs("greedy")
		_, _ = c.Write([]byte(half)) // fails where the connection has been reset before the end
		c.expectEnd()
	}
	if n := w.events.floods[drive.ClientSide][drive.FloodHeadMemory].Load(); n != 8 {
		t.Errorf("%d floods are counted", n)
	}
	neighbour.send(largeHead("/large", 100<<10) + "\r\n")
	if res, _ := neighbour.response("GET"); res.StatusCode != 200 {
		t.Errorf("the neighbour got %d", res.StatusCode)
	}
	if res, _ := w.dialAs("greedy").get("/small"); res.StatusCode != 200 {
		t.Errorf("a small call of the pod got %d", res.StatusCode)
	}
	for _, c := range begun { // what was begun can be ended
		c.send("\r\n")
		if res, _ := c.response("GET"); res.StatusCode != 200 {
			t.Errorf("a large call of the pod got %d", res.StatusCode)
		}
	}
	poll(t, func() bool { return w.server.heads.Used() == 0 })
}

// The same for heads that servers send.
func TestRule30_HeadsOfResponsesAreAccountedFor(t *testing.T) {
	large := "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1019)+"\r\n", 100) + "Content-Length: 0\r\n\r\n"
	w := buildWith(t, Options{HeadMemory: headsLimit}, serve(t, func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			p.send(large)
		}
	}), toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
	c := w.dial()
	if res, _ := c.get("/"); res.StatusCode != 200 {
		t.Fatalf("got %d", res.StatusCode)
	}
	poll(t, func() bool { return w.server.heads.Reserve(headsLimit) }) // what the call took is given back behind its answer
	if res, _ := c.get("/"); res.StatusCode != 502 {
		t.Errorf("got %d without memory", res.StatusCode)
	}
	w.events.flooded(t, drive.ServerSide, drive.FloodHeadMemory, 1)
	w.server.heads.Release(headsLimit)
	if res, _ := w.dial().get("/"); res.StatusCode != 200 {
		t.Errorf("got %d when there is memory again", res.StatusCode)
	}
	poll(t, func() bool { return w.server.heads.Used() == 0 })
}

// A head that breaks the protocol is kept to be searched for a host; without memory for that it is refused rather than passed on unseen.
func TestRule30_MalformedHeadsAreAccountedFor(t *testing.T) {
	b := toAny(nil)
	b.To = policy.Target{Kind: policy.TargetHost, Host: "elsewhere.example", Protocol: policy.ProtocolAuto}
	w := buildWith(t, Options{HeadMemory: headsLimit}, serve(t, echo), b)
	if !w.server.heads.Reserve(headsLimit) {
		t.Fatal("there is memory in use")
	}
	defer w.server.heads.Release(headsLimit)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
}
