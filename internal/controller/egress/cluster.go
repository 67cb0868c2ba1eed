package egress

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	certificatesv1apply "k8s.io/client-go/applyconfigurations/certificates/v1"
	certificatesv1beta1apply "k8s.io/client-go/applyconfigurations/certificates/v1beta1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

// fieldOwner owns what is published.
const fieldOwner = "fairlead-egress"

// Cluster is a Storage and a Publisher in the API server. It applies what it publishes, rather than creating it, because the right to that may
// be limited to a name.
type Cluster struct {
	Client    kubernetes.Interface
	Namespace string
	// Served returns in which version the cluster has ClusterTrustBundles; empty for none.
	Served func() (schema.GroupVersion, error)
}

var (
	_ Storage   = (*Cluster)(nil)
	_ Publisher = (*Cluster)(nil)
)

// Load implements Storage.
func (c *Cluster) Load(ctx context.Context) (map[string][]byte, string, error) {
	s, err := c.Client.CoreV1().Secrets(c.Namespace).Get(ctx, SecretName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return s.Data, s.ResourceVersion, nil
}

// Save implements Storage. The API server's optimistic locking tells when somebody else was faster.
func (c *Cluster) Save(ctx context.Context, data map[string][]byte, revision string) error {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: SecretName, ResourceVersion: revision, Labels: labels()},
		Type:       corev1.SecretTypeOpaque, Data: data,
	}
	var err error
	if revision == "" {
		_, err = c.Client.CoreV1().Secrets(c.Namespace).Create(ctx, s, metav1.CreateOptions{})
	} else {
		_, err = c.Client.CoreV1().Secrets(c.Namespace).Update(ctx, s, metav1.UpdateOptions{})
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || revision != "" && apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ca.ErrConflict, err)
	}
	return err
}

// Publish implements Publisher with a ClusterTrustBundle.
func (c *Cluster) Publish(ctx context.Context, bundle []byte) error {
	version, err := c.Served()
	if err != nil {
		return err
	}
	opts := metav1.ApplyOptions{FieldManager: fieldOwner, Force: true}
	switch version {
	case certificatesv1.SchemeGroupVersion:
		spec := certificatesv1apply.ClusterTrustBundleSpec().WithSignerName(SignerName).WithTrustBundle(string(bundle))
		_, err = c.Client.CertificatesV1().ClusterTrustBundles().Apply(ctx,
			certificatesv1apply.ClusterTrustBundle(TrustBundleName).WithLabels(labels()).WithSpec(spec), opts)
	case certificatesv1beta1.SchemeGroupVersion:
		spec := certificatesv1beta1apply.ClusterTrustBundleSpec().WithSignerName(SignerName).WithTrustBundle(string(bundle))
		_, err = c.Client.CertificatesV1beta1().ClusterTrustBundles().Apply(ctx,
			certificatesv1beta1apply.ClusterTrustBundle(TrustBundleName).WithLabels(labels()).WithSpec(spec), opts)
	}
	return err
}

// PublishIn implements Publisher with a ConfigMap.
func (c *Cluster) PublishIn(ctx context.Context, namespace string, bundle []byte) error {
	cm := corev1apply.ConfigMap(ConfigMapName, namespace).WithLabels(labels()).WithData(map[string]string{bundleEntry: string(bundle)})
	_, err := c.Client.CoreV1().ConfigMaps(namespace).Apply(ctx, cm, metav1.ApplyOptions{FieldManager: fieldOwner, Force: true})
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // the namespace is going
	}
	return err
}

// Withdraw implements Publisher.
func (c *Cluster) Withdraw(ctx context.Context, namespace string) error {
	err := c.Client.CoreV1().ConfigMaps(namespace).Delete(ctx, ConfigMapName, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/component": "egress-ca"}
}
