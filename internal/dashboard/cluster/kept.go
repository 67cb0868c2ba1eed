package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
)

// idle is for how long a connection to a pod is kept that nobody uses.
const idle = time.Minute

// kept keeps connections to pods between requests: to make one takes three round trips to the API server.
type kept struct {
	open ask.Reach

	mu sync.Mutex
	// guarded by mu
	pods map[string]*reached
}

// reached is a pod's port that is connected to.
type reached struct {
	client *http.Client
	end    func()
	users  int
	used   time.Time
}

func newKept(open ask.Reach) *kept { return &kept{open: open, pods: map[string]*reached{}} }

// reach is an ask.Reach. A pod that is made anew under its name has another UID.
func (k *kept) reach(pod *corev1.Pod, port uint16) (*http.Client, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.sweep(now)
	key := string(pod.UID) + "/" + pod.Namespace + "/" + pod.Name + ":" + strconv.Itoa(int(port))
	r := k.pods[key]
	if r == nil {
		c, end, err := k.open(pod, port) // connects with the first request only
		if err != nil {
			return nil, nil, err
		}
		r = &reached{end: end}
		r.client = &http.Client{Transport: timed{c.Transport, func() { k.drop(key, r) }}}
		k.pods[key] = r
	}
	r.users++
	return r.client, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		r.users--
		r.used = time.Now()
	}, nil
}

// sweep ends what has not been used for a while. It expects the lock.
func (k *kept) sweep(now time.Time) {
	for key, r := range k.pods {
		if r.users == 0 && now.Sub(r.used) > idle {
			delete(k.pods, key)
			go r.end() // which may take as long as the network does
		}
	}
}

// drop ends a connection that gives no answers any more: the next request makes another one.
func (k *kept) drop(key string, r *reached) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[key] == r {
		delete(k.pods, key)
		go r.end()
	}
}

// timed calls late when the time for a request is over before its answer has been read.
type timed struct {
	http.RoundTripper
	late func()
}

// RoundTrip implements http.RoundTripper.
func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		t.failed(err)
		return nil, err
	}
	res.Body = timedBody{res.Body, t}
	return res, nil
}

func (t timed) failed(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		t.late()
	}
}

type timedBody struct {
	io.ReadCloser
	of timed
}

// Read implements io.Reader.
func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.failed(err)
	return n, err
}
