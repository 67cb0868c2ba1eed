package distribute

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// message is what arrived on a subscription.
type message struct {
	hello wire.Hello
	ack   wire.Ack
	err   error
}

// Subscribe serves one subscription; the rules are in distribution.proto.
func (v *Server) Subscribe(stream wire.SubscribeServer) error {
	ctx := stream.Context()
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	received := v.receive(stream)
	hello, err := v.hello(ctx, p, received)
	if err != nil {
		return err
	}
	store, log := v.opts.Store, v.opts.Logger.With("node", p.Node, "agent", p.PodUID)
	c := store.attach(p.Node, p.PodUID, hello)
	log.InfoContext(ctx, "agent subscribed", "version", hello.Version, "held", len(hello.Held))
	t := subscription{server: v, session: c, peer: p, received: received, updates: make(chan wire.Update, 1), sendEnded: make(chan error, 1)}
	v.wg.Go(func() { t.sendEnded <- send(ctx, stream, t.updates) })
	err = t.run(ctx)
	store.detach(c, time.Now())
	log.InfoContext(ctx, "agent left", "err", err)
	return err
}

// receive reads the stream until it ends, which the handler's return brings about.
func (v *Server) receive(stream wire.SubscribeServer) <-chan message {
	received := make(chan message)
	ctx := stream.Context()
	deliver := func(m message) bool {
		select {
		case received <- m:
			return m.err == nil
		case <-ctx.Done():
			return false
		}
	}
	v.wg.Go(func() {
		hello, err := stream.RecvHello()
		for more := deliver(message{hello: hello, err: err}); more; {
			ack, err := stream.RecvAck()
			more = deliver(message{ack: ack, err: err})
		}
	})
	return received
}

// send writes updates to the stream. It has a goroutine of its own because a peer that does not read blocks it.
func send(ctx context.Context, stream wire.SubscribeServer, updates <-chan wire.Update) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-updates:
			for _, part := range u.Split() {
				if err := stream.Send(part); err != nil {
					return err
				}
			}
		}
	}
}

func (v *Server) hello(ctx context.Context, p peer, received <-chan message) (wire.Hello, error) {
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

// subscription is a stream after the hello.
type subscription struct {
	server    *Server
	session   *session
	peer      peer
	received  <-chan message
	updates   chan wire.Update
	sendEnded chan error

	// of run
	waiting  bool        // for an acknowledgement
	ackTimer *time.Timer // fires when that takes too long
	pause    *time.Timer // until the next update of destinations may be sent
}

func (t *subscription) run(ctx context.Context) error {
	expiry := t.peer.expiry()
	defer expiry.Stop()
	t.ackTimer = time.NewTimer(t.server.opts.AckTimeout)
	t.ackTimer.Stop()
	defer t.ackTimer.Stop()
	t.pause = time.NewTimer(0)
	defer t.pause.Stop()
	for {
		t.sendNext()
		select {
		case <-t.session.wake:
		case <-t.pause.C:
		case m := <-t.received:
			if err := t.acknowledge(m); err != nil {
				return statusOf(err)
			}
		case err := <-t.sendEnded:
			return statusOf(err)
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

// sendNext sends the next update, unless one is not acknowledged, there is none, or it has to wait.
func (t *subscription) sendNext() {
	if t.waiting {
		return
	}
	store := t.server.opts.Store
	if wait := store.pause(t.session, time.Now()); wait > 0 {
		t.pause.Reset(wait)
	} else if u, any := store.next(t.session); any {
		t.updates <- u // never blocks: the update before was acknowledged, so the sender is done with it
		t.waiting = true
		t.ackTimer.Reset(t.server.opts.AckTimeout)
	}
}

func (t *subscription) acknowledge(m message) error {
	if m.err != nil {
		return m.err
	}
	if err := t.server.opts.Store.acknowledge(t.session, m.ack); err != nil {
		return err
	}
	t.waiting = false
	t.ackTimer.Stop()
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
