package distribute

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// Subscribe serves one subscription; the rules are in distribution.proto.
func (v *Server) Subscribe(stream wire.SubscribeServer) error {
	ctx := stream.Context()
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	hello, err := v.hello(ctx, p, stream)
	if err != nil {
		return err
	}
	store, log := v.opts.Store, v.opts.Logger.With("node", p.Node, "agent", p.PodUID)
	c := store.attach(p.Node, p.PodUID, hello)
	log.InfoContext(ctx, "agent subscribed", "version", hello.Version, "held", len(hello.Held))
	t := newSubscription(v, stream, c, p)
	err = t.run(ctx)
	store.detach(c, time.Now())
	log.InfoContext(ctx, "agent left", "err", err)
	return err
}

// hello waits for the first message.
func (v *Server) hello(ctx context.Context, p peer, stream wire.SubscribeServer) (wire.Hello, error) {
	type message struct {
		hello wire.Hello
		err   error
	}
	received := make(chan message, 1)
	v.wg.Go(func() { // the handler's return ends it
		hello, err := stream.RecvHello()
		received <- message{hello, err}
	})
	limit := time.NewTimer(v.opts.HelloTimeout)
	defer limit.Stop()
	select {
	case m := <-received:
		if m.err != nil {
			return wire.Hello{}, statusOf(m.err)
		}
		if m.hello.Node != p.Node {
			v.opts.Logger.WarnContext(ctx, "agent claims another node", "node", p.Node, "claimed", wire.Text(m.hello.Node))
			return wire.Hello{}, status.Error(codes.PermissionDenied, "the token is another node's")
		}
		return m.hello, nil
	case <-limit.C:
		return wire.Hello{}, status.Error(codes.DeadlineExceeded, "no hello in time")
	case <-p.stopped:
		return wire.Hello{}, status.Error(codes.Unavailable, "this replica no longer leads")
	case <-ctx.Done():
		return wire.Hello{}, status.FromContextError(ctx.Err()).Err()
	}
}

// smallUpdate is the payload up to which an update is sent by the goroutine that serves the stream: gRPC takes as much without waiting for the
// peer, which has acknowledged all that came before.
const smallUpdate = 16 << 10

// How often an agent may report on breakers. One that does more often waits: nobody else does for it.
const (
	breakerReportsPerSecond = 20 // twice what agents do
	breakerReportsAtOnce    = 100
)

// subscription is a stream after the hello. Two goroutines serve it, each woken once for an update: one sends it, the other records the answer.
type subscription struct {
	server  *Server
	stream  wire.SubscribeServer
	session *session
	peer    peer

	receiveEnded chan error  // size 1
	ackTimer     *time.Timer // fires when an acknowledgement takes too long; the receiver stops it

	// of run
	sending   bool        // an update is being sent by a goroutine of its own
	aside     bool        // it is one that is not acknowledged, and the acknowledgement of no other is waited for
	sendEnded chan error  // size 1
	pause     *time.Timer // until the next update of destinations may be sent
}

func newSubscription(v *Server, stream wire.SubscribeServer, c *session, p peer) *subscription {
	t := &subscription{
		server: v, stream: stream, session: c, peer: p, receiveEnded: make(chan error, 1), sendEnded: make(chan error, 1),
		ackTimer: time.NewTimer(v.opts.AckTimeout), pause: time.NewTimer(0),
	}
	t.ackTimer.Stop()
	t.pause.Stop()
	return t
}

func (t *subscription) run(ctx context.Context) error {
	expiry := t.peer.expiry()
	defer expiry.Stop()
	defer t.ackTimer.Stop()
	defer t.pause.Stop()
	t.server.wg.Go(func() { t.receiveEnded <- t.receive() }) // the handler's return ends it
	for {
		if err := t.sendNext(); err != nil {
			return statusOf(err)
		}
		select {
		case <-t.session.wake:
		case <-t.pause.C:
		case err := <-t.receiveEnded:
			return statusOf(err)
		case err := <-t.sendEnded:
			if t.sending = false; err != nil {
				return statusOf(err)
			}
			if t.aside {
				t.aside = false
				t.ackTimer.Stop()
			}
		case <-t.ackTimer.C:
			return status.Error(codes.DeadlineExceeded, "no acknowledgement in time")
		case <-t.session.done:
			return statusOf(t.session.err)
		case <-t.peer.stopped:
			return status.Error(codes.Unavailable, "this replica no longer leads")
		case <-expiry.C:
			return status.Error(codes.Unauthenticated, "the token has expired")
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// receive records acknowledgements and reports until the stream ends. The store wakes the sender if there is more to send.
func (t *subscription) receive() error {
	paced := rate.NewLimiter(breakerReportsPerSecond, breakerReportsAtOnce)
	for {
		m, err := t.stream.Recv()
		if err != nil {
			return err
		}
		if m.Ack == nil {
			if err := paced.Wait(t.stream.Context()); err != nil {
				return err
			}
			t.server.opts.Store.reportBreakers(t.session, m.Breakers, time.Now())
			continue
		}
		t.ackTimer.Stop()
		if err := t.server.opts.Store.acknowledge(t.session, *m.Ack); err != nil {
			return err
		}
	}
}

// sendNext sends the next update, unless one is not acknowledged, there is none, or it has to wait.
func (t *subscription) sendNext() error {
	if t.sending {
		return nil
	}
	if u := t.server.opts.Store.nextVerdicts(t.session, time.Now()); u != nil {
		t.sendAside(u)
		return nil
	}
	u, wait := t.server.opts.Store.next(t.session, time.Now())
	if wait > 0 {
		t.pause.Reset(wait)
	}
	if u == nil {
		return nil
	}
	t.ackTimer.Reset(t.server.opts.AckTimeout)
	parts := u.Split()
	if len(parts) == 1 && u.Size() <= smallUpdate {
		return t.stream.Send(parts[0])
	}
	t.sending = true
	t.server.wg.Go(func() { t.sendEnded <- t.send(parts) }) // a peer that does not read blocks it
	return nil
}

// sendAside sends an update that is not acknowledged. A peer that does not read may be behind with any number of these, so that sending blocks: the
// limit is that of an acknowledgement.
func (t *subscription) sendAside(u *wire.Update) {
	if t.aside = !t.server.opts.Store.awaits(t.session); t.aside {
		t.ackTimer.Reset(t.server.opts.AckTimeout)
	}
	t.sending = true
	t.server.wg.Go(func() { t.sendEnded <- t.send([]wire.Update{*u}) })
}

func (t *subscription) send(parts []wire.Update) error {
	for _, part := range parts {
		if err := t.stream.Send(part); err != nil {
			return err
		}
	}
	return nil
}

// statusOf turns an error into the status that the peer gets.
func statusOf(err error) error {
	switch {
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, wire.ErrUnsupported), errors.Is(err, errProtocol):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, errReplaced):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, errOverflow):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Convert(err).Err()
}
