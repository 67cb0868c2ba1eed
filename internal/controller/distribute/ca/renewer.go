package ca

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// ErrConflict says that another replica changed the authorities since they were loaded.
var ErrConflict = errors.New("changed by another replica")

// Storage keeps the authorities where all replicas find them.
type Storage interface {
	// Load returns what is stored, empty if nothing is, and a token for Save.
	Load(ctx context.Context) (data []byte, revision string, err error)
	// Save replaces what Load returned with that revision, or returns ErrConflict.
	Save(ctx context.Context, data []byte, revision string) error
	// Publish makes the bundle available to agents. It does nothing if it already is.
	Publish(ctx context.Context, bundle []byte) error
}

// Intervals of a Renewer's work.
const (
	// checkInterval is how often the authorities are looked at again. It must be far shorter than Overlap.
	checkInterval = 5 * time.Minute
	retryInterval = 5 * time.Second
)

// Options configure a Renewer.
type Options struct {
	Storage Storage
	// DNSNames are what agents call the manager.
	DNSNames []string
	Logger   *slog.Logger // default: discard
}

// Renewer keeps the authorities and a serving certificate current.
type Renewer struct {
	opts    Options     // immutable after New
	known   Authorities // used by Refresh alone
	serving atomic.Pointer[tls.Certificate]
	expires atomic.Int64
}

// New returns a renewer that Run starts.
func New(opts Options) (*Renewer, error) {
	if opts.Storage == nil || len(opts.DNSNames) == 0 {
		return nil, errors.New("ca: a renewer needs a storage and DNS names")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Renewer{opts: opts}, nil
}

// Certificate returns the serving certificate in force; it fits tls.Config.GetCertificate.
func (k *Renewer) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := k.serving.Load()
	if c == nil {
		return nil, errors.New("no serving certificate yet")
	}
	return c, nil
}

// Expires returns when the authority that signs ends, in Unix seconds; 0 if none is known yet.
func (k *Renewer) Expires() int64 { return k.expires.Load() }

// Run keeps everything current until ctx ends. It belongs on every replica.
func (k *Renewer) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		wait := checkInterval
		if err := k.Refresh(ctx, time.Now()); err != nil {
			k.opts.Logger.ErrorContext(ctx, "cannot refresh the certificate authority", "err", err)
			wait = retryInterval
		}
		timer.Reset(wait)
	}
}

// Refresh does what is due at now. It is for one goroutine. When the storage cannot be reached the serving certificate is
// still renewed, from the authorities seen last.
func (k *Renewer) Refresh(ctx context.Context, now time.Time) error {
	as, err := k.authorities(ctx, now)
	if err != nil {
		return errors.Join(err, k.renewServing(ctx, k.known, now))
	}
	// Published before it is served: agents must be able to know an authority before they meet it.
	if err := k.opts.Storage.Publish(ctx, as.Bundle()); err != nil {
		return errors.Join(fmt.Errorf("publish bundle: %w", err), k.renewServing(ctx, k.known, now))
	}
	k.known = as
	if signer, err := as.signer(streams, now); err == nil {
		k.expires.Store(signer.cert.NotAfter.Unix())
	}
	return k.renewServing(ctx, as, now)
}

// renewServing issues a serving certificate if the one in force is no longer good.
func (k *Renewer) renewServing(ctx context.Context, as Authorities, now time.Time) error {
	if c := k.serving.Load(); len(as) == 0 || c != nil && as.stillGood(c, now) {
		return nil
	}
	c, err := as.Issue(now, k.opts.DNSNames)
	if err != nil {
		return err
	}
	k.serving.Store(c)
	k.opts.Logger.InfoContext(ctx, "serving certificate issued", "issuer", c.Leaf.Issuer.CommonName, "until", c.Leaf.NotAfter)
	return nil
}

// stillGood reports whether c is signed by the authority in force and has at least a third of its life left.
func (as Authorities) stillGood(c *tls.Certificate, now time.Time) bool {
	signer, err := as.signer(streams, now)
	if err != nil || c.Leaf.CheckSignatureFrom(signer.cert) != nil {
		return false
	}
	return now.Add(LeafLifetime / 3).Before(c.Leaf.NotAfter)
}

// authorities loads the authorities and renews them if it is time. Replicas may try at once; one wins and the others load what
// it saved.
func (k *Renewer) authorities(ctx context.Context, now time.Time) (Authorities, error) {
	for range 3 {
		data, revision, err := k.opts.Storage.Load(ctx)
		if err != nil {
			return nil, fmt.Errorf("load authorities: %w", err)
		}
		as, err := Parse(data)
		if err != nil {
			// A Secret that cannot be read is replaced rather than left to stop every agent from connecting.
			k.opts.Logger.ErrorContext(ctx, "stored authorities are unreadable and replaced", "err", err)
			as = nil
		}
		renewed, changed, err := as.Renew(now)
		if err != nil || !changed {
			return renewed, err
		}
		if data, err = renewed.Marshal(); err != nil {
			return nil, err
		}
		switch err := k.opts.Storage.Save(ctx, data, revision); {
		case err == nil:
			return renewed, nil
		case !errors.Is(err, ErrConflict):
			return nil, fmt.Errorf("save authorities: %w", err)
		}
	}
	return nil, fmt.Errorf("save authorities: %w", ErrConflict)
}
