package references

import (
	"cmp"
	"context"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

const trustBundle = v1alpha1.CABundleClusterTrustBundle

// listWatcher is what the typed clients of a kind have in common.
type listWatcher[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// named lists and watches the object of a name alone. The API server asks for the right to that name then.
func named[L runtime.Object](clients kubernetes.Interface, c listWatcher[L], name string) cache.ListerWatcher {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.FieldSelector = selector
			return c.List(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector = selector
			return c.Watch(ctx, opts)
		},
	}
	return cache.ToListWatcherWithWatchListSemantics(lw, clients)
}

// source returns how to read the object, and one of its kind, or errUnserved.
func (o *object) source() (cache.ListerWatcher, runtime.Object, error) {
	w := o.watcher
	core := w.opts.Client.CoreV1()
	switch o.ref.Kind {
	case v1alpha1.CABundleConfigMap:
		return named(w.opts.Client, core.ConfigMaps(w.namespaceOf(o.ref)), o.ref.Name), &corev1.ConfigMap{}, nil
	case v1alpha1.CABundleSecret:
		return named(w.opts.Client, core.Secrets(w.namespaceOf(o.ref)), o.ref.Name), &corev1.Secret{}, nil
	case trustBundle:
		return w.trustBundles(o.ref.Name)
	case v1alpha1.CABundleSystem:
	}
	return nil, nil, errUnserved
}

// trustBundles returns how to read a ClusterTrustBundle: in the version that the cluster has.
func (w *Watcher) trustBundles(name string) (cache.ListerWatcher, runtime.Object, error) {
	version, err := ServedTrustBundles(w.opts.Client.Discovery())
	switch version {
	case certificatesv1.SchemeGroupVersion:
		return named(w.opts.Client, w.opts.Client.CertificatesV1().ClusterTrustBundles(), name), &certificatesv1.ClusterTrustBundle{}, nil
	case certificatesv1beta1.SchemeGroupVersion:
		return named(w.opts.Client, w.opts.Client.CertificatesV1beta1().ClusterTrustBundles(), name), &certificatesv1beta1.ClusterTrustBundle{}, nil
	}
	return nil, nil, cmp.Or(err, errUnserved)
}

// dataOf returns the entries of an object. It shares the object's memory, which does not change.
func dataOf(obj any) map[string][]byte {
	switch v := obj.(type) {
	case *corev1.ConfigMap:
		return configMapData(v)
	case *corev1.Secret:
		return v.Data
	case *certificatesv1.ClusterTrustBundle:
		return map[string][]byte{compile.BundleEntry: []byte(v.Spec.TrustBundle)}
	case *certificatesv1beta1.ClusterTrustBundle:
		return map[string][]byte{compile.BundleEntry: []byte(v.Spec.TrustBundle)}
	}
	return nil
}
