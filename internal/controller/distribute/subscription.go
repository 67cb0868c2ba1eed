package distribute

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// mail is what arrived on a subscription.
type mail struct {
	hello wire.Hello
	ack   wire.Ack
	err   error
}

// Subscribe serves one subscription; the rules are in distribution.proto.
func (v *Server) Subscribe(stream wire.SubscribeServer) error {
	ctx := stream.Context()
	g, ok := ctx.Value(guestKey{}).(guest)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	inbox := v.receive(stream)
	hello, err := v.hello(ctx, g, inbox)
	if err != nil {
		return err
	}
	store, log := v.opts.Store, v.opts.Logger.With("node", g.Node, "agent", g.PodUID)
	c := store.attach(g.Node, g.PodUID, hello)
	log.InfoContext(ctx, "agent subscribed", "held", len(hello.Held))
	t := talk{server: v, session: c, guest: g, inbox: inbox, outbox: make(chan wire.Update, 1), broken: make(chan error, 1)}
	v.wg.Go(func() { t.broken <- send(ctx, stream, t.outbox) })
	err = t.run(ctx)
	store.detach(c, time.Now())
	log.InfoContext(ctx, "agent left", "reason", err)
	return err
}

// receive reads the stream until it ends, which the handler's return brings about.
func (v *Server) receive(stream wire.SubscribeServer) <-chan mail {
	inbox := make(chan mail)
	ctx := stream.Context()
	deliver := func(m mail) bool {
		select {
		case inbox <- m:
			return m.err == nil
		case <-ctx.Done():
			return false
		}
	}
	v.wg.Go(func() {
		hello, err := stream.RecvHello()
		for going := deliver(mail{hello: hello, err: err}); going; {
			ack, err := stream.RecvAck()
			going = deliver(mail{ack: ack, err: err})
		}
	})
	return inbox
}

// send writes updates to the stream. It has a goroutine of its own because a peer that does not read blocks it.
func send(ctx context.Context, stream wire.SubscribeServer, outbox <-chan wire.Update) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-outbox:
			for _, part := range u.Split() {
				if err := stream.Send(part); err != nil {
					return err
				}
			}
		}
	}
}

func (v *Server) hello(ctx context.Context, g guest, inbox <-chan mail) (wire.Hello, error) {
	limit := time.NewTimer(v.opts.HelloTimeout)
	defer limit.Stop()
	select {
	case m := <-inbox:
		if m.err != nil {
			return wire.Hello{}, statusOf(m.err)
		}
		if m.hello.Node != g.Node {
			v.opts.Logger.WarnContext(ctx, "agent claims another node", "node", g.Node, "claimed", wire.Text(m.hello.Node))
			return wire.Hello{}, status.Error(codes.PermissionDenied, "the token is another node's")
		}
		return m.hello, nil
	case <-limit.C:
		return wire.Hello{}, status.Error(codes.DeadlineExceeded, "no hello in time")
	case <-g.shut:
		return wire.Hello{}, status.Error(codes.Unavailable, "this replica no longer leads")
	case <-ctx.Done():
		return wire.Hello{}, status.FromContextError(ctx.Err()).Err()
	}
}

// talk is the conversation after the hello.
type talk struct {
	server  *Server
	session *session
	guest   guest
	inbox   <-chan mail
	outbox  chan wire.Update
	broken  chan error // the sender's end
}

func (t *talk) run(ctx context.Context) error {
	store := t.server.opts.Store
	expiry := t.guest.expiry()
	defer expiry.Stop()
	patience := time.NewTimer(t.server.opts.AckTimeout)
	patience.Stop()
	defer patience.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	waiting := false
	for {
		if !waiting {
			if wait := store.pause(t.session, time.Now()); wait > 0 {
				pause.Reset(wait)
			} else if u, any := store.next(t.session); any {
				t.outbox <- u // has room: the update before was acknowledged, so the sender is done with it
				waiting = true
				patience.Reset(t.server.opts.AckTimeout)
			}
		}
		select {
		case <-t.session.wake:
		case <-pause.C:
		case m := <-t.inbox:
			if m.err != nil {
				return statusOf(m.err)
			}
			if err := store.acknowledge(t.session, m.ack); err != nil {
				return statusOf(err)
			}
			waiting = false
			patience.Stop()
		case err := <-t.broken:
			return statusOf(err)
		case <-patience.C:
			return status.Error(codes.DeadlineExceeded, "no acknowledgement in time")
		case <-t.session.over:
			return statusOf(t.session.why)
		case <-t.guest.shut:
			return status.Error(codes.Unavailable, "this replica no longer leads")
		case <-expiry.C:
			return status.Error(codes.Unauthenticated, "the token has expired")
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// statusOf turns an error into what the peer is told.
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
