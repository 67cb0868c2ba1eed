package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"

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
			errs[i] = lines(ctx, a, &pods[i], path, query, func(v T) {
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

func lines[T any](ctx context.Context, a *Asker, pod *corev1.Pod, path string, query url.Values, each func(T)) error {
	from, end, err := a.request(ctx, pod, agentPort, path, query)
	if err != nil {
		return err
	}
	defer end()
	return decode(from, pod, each)
}

// decode calls each with the values of a stream, until that ends.
func decode[T any](from io.Reader, pod *corev1.Pod, each func(T)) error {
	for d := json.NewDecoder(from); ; {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("the stream of pod %s: %w", pod.Name, unwrapped(err))
		}
		each(v)
	}
}
