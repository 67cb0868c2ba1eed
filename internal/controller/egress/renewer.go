package egress

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// checkInterval is how often is looked for what is due, and for a change of the Secret.
	checkInterval = time.Minute
	retryInterval = 5 * time.Second
	// expirySoon is how long before the end of an authority that is said.
	expirySoon = 30 * 24 * time.Hour
)

// Demand is a node that needs an issuer, with the hosts, as policies name them, that it is for.
type Demand struct {
	Node  string
	Hosts []string
}

// Reasons of the Events about the authority.
const (
	// EventRotated: another authority signs from now on.
	EventRotated = "EgressCARotated"
	// EventExpiresSoon: the authority ends soon.
	EventExpiresSoon = "EgressCAExpiresSoon"
	// EventInvalid: the Secret holds no authority that can be used.
	EventInvalid = "EgressCAInvalid"
)

// Options configure a Renewer.
type Options struct {
	Storage   Storage
	Publisher Publisher
	// Demands returns the nodes that need an issuer, and Issued gives nodes new ones.
	Demands func() []Demand
	Issued  func(map[string]*Issuer) error
	// Namespaces returns those that ask for the bundle.
	Namespaces func() []string
	// Event records an Event about the authority.
	Event  func(warning bool, reason, note string)
	Logger *slog.Logger // default: discard
}

// Renewer renews the authority, its publication and the nodes' issuers current.
type Renewer struct {
	opts    Options // immutable
	wake    chan struct{}
	expires atomic.Int64 // Unix seconds of the end of the authority that signs; 0 for none

	// used by Refresh alone
	current   *authority
	issuers   map[string]*Issuer
	published published
	warned    string // the last Event that said that something is wrong
}

// New returns a renewer that Start starts.
func New(opts Options) *Renewer {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Renewer{opts: opts, wake: make(chan struct{}, 1), issuers: map[string]*Issuer{}, published: published{namespaces: map[string]string{}}}
}

// Wake has the renewer look at once: demands or namespaces have changed.
func (k *Renewer) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Expires returns when the authority that signs ends, in Unix seconds; 0 if there is none.
func (k *Renewer) Expires() int64 { return k.expires.Load() }

// NeedLeaderElection has only the replica that leads issue: it is the one that serves agents.
func (k *Renewer) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable: it works until ctx ends.
func (k *Renewer) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.wake:
		}
		wait := checkInterval
		if err := k.Refresh(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.opts.Logger.ErrorContext(ctx, "cannot keep the egress authority", "err", err)
			wait = retryInterval
		}
		timer.Reset(wait)
	}
}

// Refresh does what is due at now. It is for one goroutine. When the API server cannot be reached, or the Secret holds nothing usable, nodes
// still get issuers from the authority seen last.
func (k *Renewer) Refresh(ctx context.Context, now time.Time) error {
	demands, namespaces := k.opts.Demands(), k.opts.Namespaces()
	wanted := len(demands)+len(namespaces) > 0
	next, err := k.load(ctx, wanted, now)
	if next != nil {
		// Published before anything is signed with it: pods must be able to know it before they meet it.
		err = errors.Join(err, k.publish(ctx, next.bundle, namespaces, now))
		k.replace(ctx, next)
	}
	k.warn(now)
	return errors.Join(err, k.issueAll(ctx, demands, now))
}

// replace puts an authority in force.
func (k *Renewer) replace(ctx context.Context, next *authority) {
	if k.current != nil && !next.same(k.current) {
		k.opts.Event(false, EventRotated, "Nodes sign with "+next.cert.Subject.CommonName+" from now on, which is valid until "+day(next.expires())+".")
	}
	if !next.same(k.current) {
		k.opts.Logger.InfoContext(ctx, "egress authority in force", "name", next.cert.Subject.CommonName, "own", next.own, "until", next.expires())
	}
	k.current = next
	k.expires.Store(next.expires().Unix())
}

// warn says that the authority ends soon: a user's own, which nobody else renews, or the manager's, if that could not be renewed all the while.
func (k *Renewer) warn(now time.Time) {
	a := k.current
	switch {
	case a == nil || !now.Add(expirySoon).After(a.expires()):
	case a.own:
		k.say(EventExpiresSoon, "The egress CA in Secret "+SecretName+" ends on "+day(a.expires())+": renew it, with its successor in "+bundleEntry+" first.")
	default:
		k.say(EventExpiresSoon, "The egress CA in Secret "+SecretName+" ends on "+day(a.expires())+", and its successor could not be made: see the manager's log.")
	}
}

// say records an Event that something is wrong, unless it was the last that was said.
func (k *Renewer) say(reason, note string) {
	if k.warned != reason+note {
		k.warned = reason + note
		k.opts.Event(true, reason, note)
	}
}

// day is a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// issueAll gives an issuer to each node that is due one.
func (k *Renewer) issueAll(ctx context.Context, demands []Demand, now time.Time) error {
	a := k.current
	if a == nil || !now.Before(a.expires()) {
		return nil
	}
	held, fresh := make(map[string]*Issuer, len(demands)), map[string]*Issuer{}
	for _, d := range demands {
		i := k.issuers[d.Node]
		if i.due(a, d.Hosts, now) {
			var err error
			if i, err = a.issue(d.Node, d.Hosts, now); err != nil {
				return err
			}
			fresh[d.Node] = i
		}
		held[d.Node] = i
	}
	k.issuers = held
	if len(fresh) == 0 {
		return nil
	}
	k.opts.Logger.DebugContext(ctx, "egress issuers made", "nodes", len(fresh))
	return k.opts.Issued(fresh)
}
