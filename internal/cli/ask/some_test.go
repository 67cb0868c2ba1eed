package ask_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/kube"
)

func pod(namespace, name, node string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if namespace == kube.DefaultSystem {
		p.Labels = map[string]string{"app.kubernetes.io/name": "fairlead-agent"}
	}
	return p
}

// Of more agents than streams are asked for, those are that may have calls of the namespace; and it is said what is left out.
func TestAgentsForStreamsAreChosen(t *testing.T) {
	for _, tc := range []struct {
		name, namespace string
		agents, want    int
		says            string
	}{
		{"few agents", "shop", 20, 20, ""},
		{"many agents", "shop", ask.MaxStreams + 50, 2, ""},
		{"many agents, of all namespaces", "", ask.MaxStreams + 50, ask.MaxStreams, "50 more nodes may have some: choose"},
		{"many agents, and a namespace without pods", "empty", ask.MaxStreams + 50, ask.MaxStreams, "50 more nodes may have some: choose"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := []client.Object{pod("shop", "a", "node-3"), pod("shop", "b", "node-19"), pod("other", "c", "node-4")}
			for i := range tc.agents {
				objects = append(objects, pod(kube.DefaultSystem, fmt.Sprintf("agent-%03d", i), fmt.Sprintf("node-%d", i)))
			}
			c := asktest.New(t, objects...)
			live, err := c.Env.Client()
			if err != nil {
				t.Fatal(err)
			}
			a := ask.New(c.Env, live, func(*corev1.Pod, uint16) (*http.Client, func(), error) {
				return nil, nil, errors.New("nobody is asked")
			})
			all, err := a.AgentsOn(t.Context(), "")
			if err != nil || len(all) != tc.agents {
				t.Fatalf("%d agents, %v", len(all), err)
			}
			got := a.Some(t.Context(), all, tc.namespace, ": choose")
			if said := c.Err.String(); len(got) != tc.want || !strings.Contains(said, tc.says) || (said == "") != (tc.says == "") {
				t.Errorf("%d agents, and %q", len(got), said)
			}
		})
	}
}
