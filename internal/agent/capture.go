package agent

import (
	"net/netip"
	"os"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/kernel"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/proxy"
)

// newCapture makes what brings connections to the agent.
func (a *Agent) newCapture() error {
	var err error
	if a.host, err = netns.OpenHost(); err != nil {
		return err
	}
	a.kernel = kernel.New(a.host)
	a.watcher, err = pods.New(pods.Options{Socket: a.opts.CRISocket, Folder: a.opts.NetNSDir, Log: a.opts.Log})
	if err != nil {
		return err
	}
	a.capture, err = capture.New(capture.Options{
		Host: a.host, Sandboxes: a.watcher, Handler: handler{a.proxy}, Listening: handler{a.proxy}.listening, Log: a.opts.Log, Grace: a.opts.Drain, Memory: a.opts.Memory,
		Mechanism: nft.New, OnEvent: a.captureEvent,
	})
	return err
}

// handler hands captured connections to the proxy, which knows pods by their UID alone.
type handler struct{ proxy *proxy.Server }

var _ capture.Handler = handler{}

// ServeCaptured implements capture.Handler.
func (h handler) ServeCaptured(pod capture.PodRef, conn *os.File, original netip.AddrPort) {
	h.proxy.ServeCaptured(pod.UID, conn, original)
}

// listening has the accepting of a pod's connections take the pod's turns.
func (h handler) listening(pod capture.PodRef) (turn, done func()) { return h.proxy.Listening(pod.UID) }

// captureEvent logs the edges of capture, and has a pod's connections closed when its sandbox is gone.
func (a *Agent) captureEvent(e capture.Event) {
	if e.Kind == capture.Ended {
		a.routes.PodEnded(e.Pod.UID)
	}
	attrs := []any{"pod", e.Pod.Namespace + "/" + e.Pod.Name, "event", e.Kind.String()}
	switch e.Kind {
	case capture.Troubled, capture.Shedding:
		a.opts.Log.Warn("capture", append(attrs, "err", e.Err)...)
	case capture.Captured, capture.Released, capture.Ended, capture.Superseded, capture.Resumed:
		a.opts.Log.Info("capture", attrs...)
	}
}
