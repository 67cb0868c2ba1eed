package controller

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/egress"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/references"
	"fairlead.dev/fairlead/internal/policy"
)

// The egress authority is kept in a Secret of the manager's namespace, and published by names that nothing else has.
//
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=secrets,resourceNames=fairlead-egress-ca,verbs=get;update
// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=fairlead-egress-ca,verbs=create;patch;delete
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,resourceNames="fairlead.dev:egress:ca",verbs=create;patch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,resourceNames="fairlead.dev/egress",verbs=attest

// addEgress adds what keeps the egress authority and gives nodes their issuers.
func (m *Manager) addEgress(clients kubernetes.Interface, idx *index.Index, store *distribute.Store) (*egress.Renewer, error) {
	cluster := &egress.Cluster{
		Client: clients, Namespace: m.opts.Namespace,
		Served: func() (schema.GroupVersion, error) { return references.ServedTrustBundles(clients.Discovery()) },
	}
	recorder := m.manager.GetEventRecorder(fieldOwner)
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: m.opts.Namespace, Name: egress.SecretName},
	}
	renewer := egress.New(egress.Options{
		Storage: cluster, Publisher: cluster, Logger: m.opts.Logger,
		Demands:    func() []egress.Demand { return demandsOf(store) },
		Issued:     func(issuers map[string]*egress.Issuer) error { return store.SetIssuers(keyPairsOf(issuers)) },
		Namespaces: func() []string { return idx.NamespacesWith(egress.NamespaceLabel, egress.LabelValue) },
		Event: func(warning bool, reason, note string) {
			kind := corev1.EventTypeNormal
			if warning {
				kind = corev1.EventTypeWarning
			}
			recorder.Eventf(secret, nil, kind, reason, actionObserve, "%s", note)
		},
	})
	store.OnIssuersWanted(renewer.Wake)
	expiry := expiryGauge("egress_ca", "When the egress CA that signs ends, in Unix time; 0 while there is none.", renewer.Expires)
	if err := errors.Join(m.opts.Metrics.Register(expiry), m.manager.Add(renewer)); err != nil {
		return nil, fmt.Errorf("set up the egress authority: %w", err)
	}
	return renewer, nil
}

func demandsOf(store *distribute.Store) []egress.Demand {
	var out []egress.Demand
	for _, d := range store.IssuerDemands() {
		out = append(out, egress.Demand{Node: d.Node, Hosts: d.Hosts})
	}
	return out
}

func keyPairsOf(issuers map[string]*egress.Issuer) map[string]*policy.KeyPair {
	out := make(map[string]*policy.KeyPair, len(issuers))
	for node, i := range issuers {
		out[node] = &policy.KeyPair{Name: policy.IssuerName, Chain: i.Chain, Key: i.Key}
	}
	return out
}

// clients returns a client of the API server for what is not cached. It is not slowed down: a manager that comes to lead begins thousands of
// watches at once, and each is cheap.
func (m *Manager) clients() (kubernetes.Interface, error) {
	config := rest.CopyConfig(m.opts.Config)
	config.QPS, config.Burst = 500, 1000
	clients, err := kubernetes.NewForConfigAndClient(config, m.manager.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("set up a client: %w", err)
	}
	return clients, nil
}
