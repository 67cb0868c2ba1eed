package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
)

const (
	// caName is the ConfigMap in which the manager publishes what agents trust.
	caName = "fairlead-ca"
	// expirySoon is how long before the end of the authority's certificate it should have been renewed, egressSoon that of the egress CA, which takes restarts of pods,
	// issuerSoon that of a node's issuer.
	expirySoon = 7 * 24 * time.Hour
	egressSoon = 30 * 24 * time.Hour
	issuerSoon = time.Hour
)

// certificates checks that the authorities of fairlead's own TLS and of intercepted TLS last.
func (k *checker) certificates(ctx context.Context) {
	k.authority(ctx)
	k.egress()
	k.issuers()
}

func (k *checker) authority(ctx context.Context) {
	var m corev1.ConfigMap
	err := k.c.Get(ctx, client.ObjectKey{Namespace: k.env.System, Name: caName}, &m)
	switch {
	case apierrors.IsNotFound(err):
		k.add(Problem, remedy{"see whether a manager runs: it writes it when it first starts", pageManagerAway}, "there is no ConfigMap %s, which agents need to start", caName)
		return
	case err != nil:
		k.unknown(kube.Explain(err, "read ConfigMap "+caName))
		return
	}
	last := lastOf(m.Data["ca.crt"])
	if last.IsZero() {
		k.add(Problem, remedy{"kubectl -n " + k.env.System + " delete configmap " + caName + ", and the manager writes it anew", pageCA}, "ConfigMap %s holds no certificate", caName)
		return
	}
	k.lasts("the certificate of the manager's authority", last, expirySoon, remedy{"see the manager's log for why the authority is not renewed: kubectl -n " +
		k.env.System + " logs deployment/fairlead-manager", pageCA})
}

// lastOf returns when the last of the certificates in PEM ends; zero: there is none.
func lastOf(bundle string) (last time.Time) {
	for rest := []byte(bundle); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return last
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
}

// lasts checks until when something is good.
func (k *checker) lasts(what string, until time.Time, soon time.Duration, r remedy) {
	at := until.UTC().Format(time.RFC3339)
	switch left := until.Sub(k.env.Now()); {
	case left <= 0:
		k.add(Problem, r, "%s has expired at %s", what, at)
	case left < soon:
		k.add(Warning, r, "%s expires at %s", what, at)
	default:
		k.ok("%s is good until %s", what, at)
	}
}

// egress checks the CA that pods trust whose TLS is intercepted.
func (k *checker) egress() {
	switch err := k.live.managerErr; {
	case ask.OfEarlierVersion(err):
		k.add(Unknown, remedy{"upgrade the manager", pageUpgrade}, "the egress CA: this manager's version does not say")
	case err != nil:
		k.add(Unknown, remedy{}, "the egress CA: %v", err)
	case k.live.manager.EgressCAExpires.IsZero():
		k.ok("there is no egress CA, as no policy has intercepted TLS yet")
	default:
		k.lasts("the egress CA", k.live.manager.EgressCAExpires, egressSoon,
			remedy{"kubectl -n " + k.env.System + " describe secret fairlead-egress-ca: one of your own is yours to renew; of the manager's see its log", pageEgressCA})
	}
}

// issuers checks that nodes have what they sign with for pods whose TLS is intercepted.
func (k *checker) issuers() {
	b := bounded{k: k}
	for i := range k.live.agents {
		a := &k.live.agents[i]
		n := &a.node.Value
		if a.node.Err != nil {
			continue
		}
		do := "see that the manager runs and that the agent is connected to it: " + k.logs(a.pod())
		if len(n.Unissued) > 0 {
			b.add(Problem, remedy{do, pageNoIssuer}, "node %s: it has no issuer of certificates, so TLS that %s is to intercept is passed through", a.on(), some(n.Unissued))
		} else if n.Issuer != nil && n.Issuer.NotAfter.Sub(k.env.Now()) < issuerSoon {
			b.add(Warning, remedy{do, pageNoIssuer}, "node %s: its issuer of certificates ends at %s, and should have been renewed", a.on(), n.Issuer.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	b.end(Problem, "node", "nodes")
}
