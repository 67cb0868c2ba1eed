// Package ask reaches the live API of the manager and the agents through the API server, with the rights of who runs a command: list on pods and
// create on pods/portforward, in the namespace that fairlead runs in.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

const (
	// managerPort and agentPort are where the live API is, on the pods' loopback addresses.
	managerPort = 8082
	agentPort   = 9464
	// MaxStreams is how many agents are asked for streams at most: each is a connection through the API server for as long as it lasts.
	MaxStreams = 200
	// maxSilence is how long a stream may say nothing.
	maxSilence = 30 * time.Second
	// maxAtOnce bounds how many agents are asked at the same time.
	maxAtOnce = 32
	// maxAnswer and maxWhy bound what is read.
	maxAnswer = 256 << 20
	maxWhy    = 4 << 10
)

// Reach returns a client whose requests all go to a port of a pod, and what ends it.
type Reach func(pod *corev1.Pod, port uint16) (*http.Client, func(), error)

// Asker asks pods.
type Asker struct {
	env    *kube.Env
	client client.Reader
	reach  Reach
	within time.Duration // for each request; 0: as long as its context
	// silence is how long a stream may say nothing; agents say every 5 s that theirs go on.
	silence time.Duration
}

// Within returns an Asker whose requests for one answer end after a time. Streams of lines do not.
func (a *Asker) Within(d time.Duration) *Asker {
	of := *a
	of.within = d
	return &of
}

// New returns an Asker; reach is nil but in tests.
func New(env *kube.Env, c client.Reader, reach Reach) *Asker {
	if reach == nil {
		reach = Through(env)
	}
	return &Asker{env: env, client: c, reach: reach, silence: maxSilence}
}

// Through reaches pods through the API server.
func Through(env *kube.Env) Reach {
	return func(pod *corev1.Pod, port uint16) (*http.Client, func(), error) {
		p, err := env.PodPort(pod.Namespace, pod.Name, port)
		if err != nil {
			return nil, nil, err
		}
		c := p.Client()
		return c, func() { c.CloseIdleConnections(); _ = p.Close() }, nil
	}
}

// refusal is an answer that is none.
type refusal struct {
	status int
	why    string
	// unknown: the pod does not know what was asked for.
	unknown bool
}

func (r *refusal) Error() string { return r.why }

// Lasting reports whether the pod refuses what it is asked, however often it is (kube.Lasting). One of an earlier version may be replaced.
func (r *refusal) Lasting() bool {
	return !r.unknown && r.status >= 400 && r.status < 500 && r.status != http.StatusRequestTimeout && r.status != http.StatusTooManyRequests
}

// request sends a request to a pod, whose answer the caller reads and then ends.
func (a *Asker) request(ctx context.Context, pod *corev1.Pod, port uint16, path string, query url.Values) (io.Reader, func(), error) {
	c, end, err := a.reach(pod, port)
	if err != nil {
		return nil, nil, err
	}
	u := url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		end()
		return nil, nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("ask pod %s: %w", pod.Name, unwrapped(err))
	}
	ended := func() { _ = res.Body.Close(); end() }
	if res.StatusCode != http.StatusOK {
		defer ended()
		why, _ := io.ReadAll(io.LimitReader(res.Body, maxWhy)) // whatever could be read of it
		text := strings.TrimSpace(string(why))
		unknown := res.StatusCode == http.StatusNotFound && strings.HasPrefix(text, "404 page")
		if unknown {
			text = "it has no " + path + ": it is of an earlier version"
		}
		return nil, nil, &refusal{res.StatusCode, fmt.Sprintf("pod %s: %s", pod.Name, output.Text(text)), unknown}
	}
	return res.Body, ended, nil
}

// OfEarlierVersion reports whether a pod has not answered because it is of an earlier version, which does not know what it was asked for.
func OfEarlierVersion(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.unknown
}

// unwrapped returns what has failed, without the address that the request had, which is none.
func unwrapped(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Manager asks the manager that leads, and reads its answer into to.
func (a *Asker) Manager(ctx context.Context, path string, query url.Values, to any) error {
	pods, err := a.env.ManagerPods(ctx, a.client)
	if err != nil {
		return err
	}
	err = errors.New("no pod of the manager runs in namespace " + a.env.System + ": say where fairlead is with --fairlead-namespace")
	for i := range pods {
		if pods[i].Status.Phase != corev1.PodRunning {
			continue
		}
		var r *refusal
		if err = a.read(ctx, &pods[i], managerPort, path, query, to); err == nil || errors.As(err, &r) && r.status != http.StatusServiceUnavailable {
			return err
		}
	}
	return err
}

func (a *Asker) read(ctx context.Context, pod *corev1.Pod, port uint16, path string, query url.Values, to any) error {
	if a.within == 0 {
		return a.answer(ctx, pod, port, path, query, to)
	}
	within, stop := context.WithTimeout(ctx, a.within)
	defer stop()
	err := a.answer(within, pod, port, path, query, to)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("pod %s has not answered within %s", pod.Name, a.within)
	}
	return err
}

func (a *Asker) answer(ctx context.Context, pod *corev1.Pod, port uint16, path string, query url.Values, to any) error {
	from, end, err := a.request(ctx, pod, port, path, query)
	if err != nil {
		return err
	}
	defer end()
	if err := json.NewDecoder(io.LimitReader(from, maxAnswer)).Decode(to); err != nil {
		return fmt.Errorf("read what pod %s says: %w", pod.Name, err)
	}
	return nil
}

// AgentsOn returns the running agents of a node, or of all if it is empty.
func (a *Asker) AgentsOn(ctx context.Context, node string) ([]corev1.Pod, error) {
	pods, err := a.env.AgentPods(ctx, a.client)
	if err != nil {
		return nil, err
	}
	var out []corev1.Pod
	for i := range pods {
		if pods[i].Status.Phase == corev1.PodRunning && (node == "" || pods[i].Spec.NodeName == node) {
			out = append(out, pods[i])
		}
	}
	if len(out) == 0 && node != "" {
		return nil, fmt.Errorf("no agent runs on node %s", node)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no agent runs in namespace %s: say where fairlead is with --fairlead-namespace", a.env.System)
	}
	return out, nil
}

// Answer is what one pod has answered, or why it has not.
type Answer[T any] struct {
	Pod   *corev1.Pod
	Value T
	Err   error
	// Asked and Answered are when, by the clock of who asks.
	Asked, Answered time.Time
}

// Each asks agents, and returns an Answer for each, in the order of pods.
func Each[T any](ctx context.Context, a *Asker, pods []corev1.Pod, path string, query url.Values) []Answer[T] {
	all := make([]Answer[T], len(pods))
	var group errgroup.Group
	group.SetLimit(maxAtOnce)
	for i := range pods {
		group.Go(func() error {
			of := &all[i]
			of.Pod, of.Asked = &pods[i], a.env.Now()
			of.Err = a.read(ctx, of.Pod, agentPort, path, query, &of.Value)
			of.Answered = a.env.Now()
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	return all
}

// Agents asks agents, and returns what those answer that do, in the order of pods, and why others do not.
func Agents[T any](ctx context.Context, a *Asker, pods []corev1.Pod, path string, query url.Values) (answers []T, failed []error) {
	for _, of := range Each[T](ctx, a, pods, path, query) {
		if of.Err != nil {
			failed = append(failed, of.Err)
		} else {
			answers = append(answers, of.Value)
		}
	}
	return answers, failed
}

// Near returns the agents on the nodes that run pods of namespaces; all, with an error, where that cannot be read.
func (a *Asker) Near(ctx context.Context, agents []corev1.Pod, namespaces ...string) ([]corev1.Pod, error) {
	nodes := map[string]bool{}
	for _, namespace := range namespaces {
		var pods corev1.PodList
		if err := a.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return agents, kube.Explain(err, "list pods in namespace "+namespace)
		}
		for i := range pods.Items {
			nodes[pods.Items[i].Spec.NodeName] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(agents), func(a corev1.Pod) bool { return !nodes[a.Spec.NodeName] }), nil
}

// Preferred returns the agents to be asked for streams first: where there are more than MaxStreams, those on nodes that run pods of the namespace, if one is
// given and that can be read.
func (a *Asker) Preferred(ctx context.Context, agents []corev1.Pod, namespace string) []corev1.Pod {
	if len(agents) > MaxStreams && namespace != "" {
		if near, err := a.Near(ctx, agents, namespace); err == nil && len(near) > 0 {
			return near
		}
	}
	return agents
}

// Some returns as many of the agents as are asked for streams, the Preferred ones. It says on the error output what that leaves out, and how to choose.
func (a *Asker) Some(ctx context.Context, agents []corev1.Pod, namespace, choose string) []corev1.Pod {
	agents = a.Preferred(ctx, agents, namespace)
	left := len(agents) - MaxStreams
	if left <= 0 {
		return agents
	}
	fmt.Fprintf(a.env.ErrOut, "Calls of %d nodes are looked at, which is the most; %s may have some%s.\n", MaxStreams, output.Count(left, "more node", "more nodes"), choose)
	return agents[:MaxStreams]
}
