package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Lines asks agents, those of Some, for streams of lines, each a JSON value, and calls each with what comes, one at a time, until all have ended or ctx ends. It
// returns why streams ended that were not to.
func Lines[T any](ctx context.Context, a *Asker, pods []corev1.Pod, path string, query url.Values, each func(T)) error {
	var mu sync.Mutex
	errs := make([]error, len(pods))
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() {
			errs[i] = lines(ctx, a, &pods[i], path, query, func() {}, func(v T) {
				mu.Lock()
				defer mu.Unlock()
				each(v)
			})
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// errSilent: a stream has said nothing for too long.
var errSilent = errors.New("it has said nothing for too long, so its connection is taken for dead")

// lines reads the stream of an agent: it calls opened when that has answered, and each with what comes. A stream that says nothing for a while has failed: agents
// say every few seconds that theirs go on, and where a node dies nobody ends what goes through the API server.
func lines[T any](ctx context.Context, a *Asker, pod *corev1.Pod, path string, query url.Values, opened func(), each func(T)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silent := time.AfterFunc(a.silence, func() { stop(errSilent) })
	defer silent.Stop()
	from, end, err := a.request(ctx, pod, agentPort, path, query)
	if err == nil {
		defer end()
		opened()
		err = decode(from, func(v T) {
			silent.Stop() // what each takes is not the stream's silence
			each(v)
			silent.Reset(a.silence)
		})
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errSilent):
		return fmt.Errorf("the stream of pod %s: %w", pod.Name, errSilent)
	case from != nil:
		return fmt.Errorf("the stream of pod %s: %w", pod.Name, unwrapped(err))
	}
	return err
}

// decode calls each with the values of a stream, until that ends.
func decode[T any](from io.Reader, each func(T)) error {
	for d := json.NewDecoder(from); ; {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		each(v)
	}
}
