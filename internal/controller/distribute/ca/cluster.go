package ca

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keys of the Secret and the ConfigMap.
const (
	secretKey = "authorities.pem"
	// BundleKey is under which the ConfigMap holds the bundle.
	BundleKey = "ca.crt"
)

// Cluster is a Storage made of a Secret and a ConfigMap.
type Cluster struct {
	// Client must read from the API server, not from a cache: the objects are few, and a stale read would look like a conflict.
	Client    client.Client
	Namespace string
	Secret    string // "fairlead-ca" by convention
	ConfigMap string // "fairlead-ca" by convention
}

var _ Storage = (*Cluster)(nil)

// Load implements Storage.
func (c *Cluster) Load(ctx context.Context) ([]byte, string, error) {
	secret := new(corev1.Secret)
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Secret}, secret)
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("get secret %s: %w", c.Secret, err)
	}
	return secret.Data[secretKey], secret.ResourceVersion, nil
}

// Save implements Storage. The API server's optimistic locking tells when another replica was faster.
func (c *Cluster) Save(ctx context.Context, data []byte, revision string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Secret, ResourceVersion: revision, Labels: labels()},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{secretKey: data},
	}
	var err error
	if revision == "" {
		err = c.Client.Create(ctx, secret)
	} else {
		err = c.Client.Update(ctx, secret)
	}
	switch {
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err), revision != "" && apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil:
		return fmt.Errorf("write secret %s: %w", c.Secret, err)
	}
	return nil
}

// Publish implements Storage.
func (c *Cluster) Publish(ctx context.Context, bundle []byte) error {
	err := c.publish(ctx, bundle)
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		err = c.publish(ctx, bundle) // another replica was faster, most likely with the same bundle
	}
	if err != nil {
		return fmt.Errorf("write config map %s: %w", c.ConfigMap, err)
	}
	return nil
}

func (c *Cluster) publish(ctx context.Context, bundle []byte) error {
	cm := new(corev1.ConfigMap)
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.ConfigMap}, cm)
	switch {
	case apierrors.IsNotFound(err):
		cm = &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.ConfigMap, Labels: labels()},
			Data:       map[string]string{BundleKey: string(bundle)},
		}
		err = c.Client.Create(ctx, cm)
	case err == nil && cm.Data[BundleKey] != string(bundle):
		cm.Data = map[string]string{BundleKey: string(bundle)}
		err = c.Client.Update(ctx, cm)
	}
	return err
}

func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/component": "manager"}
}
