package references

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	bundle = compile.Reference{Kind: v1alpha1.CABundleConfigMap, Namespace: "shop", Name: "ca"}
	client = compile.Reference{Kind: v1alpha1.CABundleSecret, Namespace: "shop", Name: "client"}
)

// running is a watcher of a fake API server. Its changes come by a channel that takes any number of them.
type running struct {
	*Watcher
	api     *fake.Clientset
	changed chan compile.Reference
	used    map[compile.Reference]struct{}
	log     syncBuffer
}

// syncBuffer keeps what is logged.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func start(t *testing.T, objects ...runtime.Object) *running {
	t.Helper()
	r := &running{api: fake.NewClientset(objects...), changed: make(chan compile.Reference, 1000), used: map[compile.Reference]struct{}{}}
	r.Watcher = New(Options{
		Client: r.api, Namespace: "fairlead-system", Account: "fairlead-manager", Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
		Used: func() map[compile.Reference]struct{} { return r.used },
		Changed: func(refs []compile.Reference) {
			for _, ref := range refs {
				r.changed <- ref
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// becomes waits until what is known of an object is as wanted.
func (r *running) becomes(t *testing.T, ref compile.Reference, presence compile.Presence, entry, value string) {
	t.Helper()
	for {
		if now := r.Find(ref); now.Presence == presence && string(now.Data[entry]) == value {
			return
		}
		select {
		case <-r.changed:
		case <-t.Context().Done():
			t.Fatalf("%+v", r.Find(ref))
		}
	}
}

func secretWith(value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "client"}, Data: map[string][]byte{"tls.key": []byte(value)}}
}

func TestObjectsAreReadFromWhenTheyAreRequired(t *testing.T) {
	r := start(t, secretWith("one"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ca"},
		Data: map[string]string{"ca.crt": "text"}, BinaryData: map[string][]byte{"der": {1}}})
	if got := r.Find(client); got.Presence != compile.Unread || got.Hint == "" || got.Now.IsZero() {
		t.Errorf("before: %+v", got)
	}
	if len(r.api.Actions()) > 0 {
		t.Error("something is read that nobody requires")
	}
	r.Wait(t.Context(), []compile.Reference{client, bundle})
	r.becomes(t, client, compile.Present, "tls.key", "one")
	r.becomes(t, bundle, compile.Present, "ca.crt", "text")
	r.becomes(t, bundle, compile.Present, "der", "\x01")
	for _, a := range r.api.Actions() {
		if l, ok := a.(clienttesting.ListAction); ok && a.GetNamespace() == "shop" && l.GetListRestrictions().Fields.String() == "" {
			t.Errorf("all %s of the namespace are listed", a.GetResource().Resource)
		}
	}
	if _, err := r.api.CoreV1().Secrets("shop").Update(t.Context(), secretWith("two"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, client, compile.Present, "tls.key", "two")
	if err := r.api.CoreV1().Secrets("shop").Delete(t.Context(), "client", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, client, compile.Absent, "", "")
	if strings.Contains(r.log.String(), "one") {
		t.Errorf("logged: %s", r.log.String())
	}
}

func TestARightThatIsMissingIsSaidAndNoticedWhenItIsGranted(t *testing.T) {
	r := start(t)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "client", fmt.Errorf("no"))
	granted := make(chan struct{})
	refuse := func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case <-granted:
			return false, nil, nil
		default:
			return true, nil, forbidden
		}
	}
	r.api.PrependReactor("list", "secrets", refuse)
	r.api.PrependReactor("watch", "secrets", refuse)
	r.Wait(t.Context(), []compile.Reference{client})
	want := "permit it: kubectl create rolebinding fairlead-references --clusterrole=fairlead-references --serviceaccount=fairlead-system:fairlead-manager --namespace=shop"
	if got := r.Find(client); got.Presence != compile.Forbidden || got.Hint != want {
		t.Errorf("%+v", got)
	}
	home := compile.Reference{Kind: v1alpha1.CABundleSecret, Name: "client"}
	r.Wait(t.Context(), []compile.Reference{home})
	if got := r.Find(home); !strings.HasSuffix(got.Hint, "--namespace=fairlead-system") {
		t.Errorf("%+v", got)
	}
	close(granted)
	r.becomes(t, client, compile.Absent, "", "")
}

func TestAClusterWithoutTrustBundlesIsNoticed(t *testing.T) {
	r := start(t)
	ref := compile.Reference{Kind: trustBundle, Name: "roots"}
	r.Wait(t.Context(), []compile.Reference{ref})
	if got := r.Find(ref); got.Presence != compile.Unserved {
		t.Errorf("%+v", got)
	}
}

func TestWhatNobodyRefersToIsNotReadAnyMore(t *testing.T) {
	r := start(t, secretWith("one"))
	r.Wait(t.Context(), []compile.Reference{client, bundle})
	both := map[compile.Reference]struct{}{client: {}, bundle: {}}
	now := time.Now()
	r.check(both, now)
	r.check(map[compile.Reference]struct{}{client: {}}, now)
	if got := r.Find(bundle); got.Presence != compile.Absent {
		t.Error("it is not kept for a moment, for a policy that is just being read")
	}
	r.check(map[compile.Reference]struct{}{client: {}}, now)
	if got := r.Find(bundle); got.Presence != compile.Unread {
		t.Error("it is still read")
	}
	if got := r.Find(client); got.Presence != compile.Present {
		t.Error("what is referred to is not read any more")
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	r := start(t)
	r.api.PrependReactor("list", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(fmt.Errorf("down"))
	})
	r.api.PrependReactor("watch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(fmt.Errorf("down"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Wait(ctx, []compile.Reference{client})
	if got := r.Find(client); got.Presence != compile.Unread {
		t.Errorf("%+v", got)
	}
}
