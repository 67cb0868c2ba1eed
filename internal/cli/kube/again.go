package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Again reads what is watched again while that fails by what passes, such as an API server or an agent that is being replaced. It says on the error output
// when that begins and when it has ended. It is safe for concurrent use.
type Again struct {
	says io.Writer

	mu sync.Mutex
	// guarded by mu
	failing int // reads that have failed, and are made again
}

// NewAgain returns an Again that says on the error output of env what fails.
func NewAgain(env *Env) *Again { return &Again{says: env.ErrOut} }

// backoff is how long it takes until what has failed is read again: a second, twice as long each time, half a minute at most, and up to a tenth more.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Cap: 30 * time.Second, Steps: math.MaxInt32}
}

// Until calls read until it succeeds, ctx ends, or it fails by what does not pass (Lasting), whose error it returns.
func (a *Again) Until(ctx context.Context, read func() error) (err error) {
	if err = read(); err == nil || ctx.Err() != nil || Lasting(err) {
		return err
	}
	a.begin(err)
	defer func() { a.end(err) }()
	for pause := backoff(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.Step()):
		}
		if err = read(); err == nil || ctx.Err() != nil || Lasting(err) {
			return err
		}
	}
}

func (a *Again) begin(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failing++; a.failing == 1 {
		fmt.Fprintf(a.says, "Not read, and read again until that succeeds: %v\n", why)
	}
}

func (a *Again) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failing--; a.failing == 0 && err == nil {
		fmt.Fprintln(a.says, "Read again.")
	}
}

// Lasting reports whether an error stays however often what has failed is done again: who runs the command lacks a right or is not known, or what is asked
// for cannot be. Errors say so of themselves by a method Lasting.
func Lasting(err error) bool {
	var of interface{ Lasting() bool }
	if errors.As(err, &of) {
		return of.Lasting()
	}
	return forbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsNotAcceptable(err) || apierrors.IsUnsupportedMediaType(err)
}
