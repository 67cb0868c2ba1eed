package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Names of what the authority is kept and published in.
const (
	SecretName    = "fairlead-egress-ca"
	ConfigMapName = "fairlead-egress-ca"
	// NamespaceLabel, with the value of LabelValue, is on the namespaces that ask for the ConfigMap.
	NamespaceLabel = "policy.fairlead.dev/egress-ca"
	LabelValue     = "publish"
	// SignerName is that of the ClusterTrustBundle, whose name begins with it.
	SignerName      = "fairlead.dev/egress"
	TrustBundleName = "fairlead.dev:egress:ca"
	// BundleEntry is the entry of the ConfigMap.
	BundleEntry = bundleEntry

	// repeatInterval is how often what is published is written again, in case somebody has changed it.
	repeatInterval = 15 * time.Minute
)

// Publisher publishes the bundle.
type Publisher interface {
	// Publish publishes it for the whole cluster. It does nothing where that is not possible.
	Publish(ctx context.Context, bundle []byte) error
	// PublishIn publishes it in a namespace, and Withdraw removes it from there.
	PublishIn(ctx context.Context, namespace string, bundle []byte) error
	Withdraw(ctx context.Context, namespace string) error
}

// published is what was published, and when all of it was last.
type published struct {
	cluster    string
	namespaces map[string]string // bundles by namespace
	at         time.Time
}

// publish publishes the bundle where it is wanted and is not, and withdraws it where it is not wanted any more.
func (k *Renewer) publish(ctx context.Context, bundle []byte, namespaces []string, now time.Time) error {
	p := &k.published
	if now.Sub(p.at) >= repeatInterval {
		// What is written again is not forgotten: it may have to be withdrawn.
		for ns := range p.namespaces {
			p.namespaces[ns] = ""
		}
		p.cluster, p.at = "", now
	}
	var errs []error
	if p.cluster != string(bundle) {
		if err := k.opts.Publisher.Publish(ctx, bundle); err != nil {
			errs = append(errs, fmt.Errorf("publish the egress bundle: %w", err))
		} else {
			p.cluster = string(bundle)
		}
	}
	for _, ns := range namespaces {
		if p.namespaces[ns] == string(bundle) {
			continue
		}
		if err := k.opts.Publisher.PublishIn(ctx, ns, bundle); err != nil {
			errs = append(errs, fmt.Errorf("publish the egress bundle in namespace %s: %w", ns, err))
			continue
		}
		p.namespaces[ns] = string(bundle)
	}
	for ns := range p.namespaces {
		if slices.Contains(namespaces, ns) {
			continue
		}
		if err := k.opts.Publisher.Withdraw(ctx, ns); err != nil {
			errs = append(errs, fmt.Errorf("withdraw the egress bundle from namespace %s: %w", ns, err))
			continue
		}
		delete(p.namespaces, ns)
	}
	return errors.Join(errs...)
}
