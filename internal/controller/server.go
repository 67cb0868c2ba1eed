package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/distribute/ca"
)

// addServer adds what runs on every replica: the certificate authority and the agents' server. The store's gate decides who answers.
func (m *Manager) addServer(store *distribute.Store) error {
	direct, err := client.New(m.opts.Config, client.Options{Scheme: m.manager.GetScheme(), HTTPClient: m.manager.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("set up a client: %w", err)
	}
	host := serviceName + "." + m.opts.Namespace
	certificates, err := ca.New(ca.Options{
		Storage:  &ca.Cluster{Client: direct, Namespace: m.opts.Namespace, Secret: authorityName, ConfigMap: authorityName},
		DNSNames: []string{serviceName, host, host + ".svc", host + ".svc." + m.opts.ClusterDomain},
		Logger:   m.opts.Logger,
	})
	if err != nil {
		return err
	}
	reviewer, err := distribute.NewTokenReviewer(distribute.TokenReviewOptions{
		Client: direct, Audience: tokenAudience, Namespace: m.opts.Namespace, ServiceAccount: agentAccount,
	})
	if err != nil {
		return err
	}
	srv, err := distribute.NewServer(distribute.ServerOptions{
		Store: store, Authenticator: reviewer, Certificate: certificates.Certificate, Logger: m.opts.Logger,
	})
	if err != nil {
		return err
	}
	expiry := expiryGauge("ca", "When the CA of the manager's own certificate ends, in Unix time; 0 while there is none.", certificates.Expires)
	serve := func(ctx context.Context) error { return srv.Run(ctx, m.opts.Agents) }
	return errors.Join(
		m.opts.Metrics.Register(expiry),
		m.manager.Add(onEveryReplica{certificates.Run}),
		m.manager.Add(onEveryReplica{serve}),
		m.manager.AddHealthzCheck("ping", healthz.Ping),
		m.manager.AddReadyzCheck("certificate", certificateCheck(certificates.Certificate)),
	)
}

// certificateCheck holds readiness until agents can be greeted. It says nothing about leadership.
func certificateCheck(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) healthz.Checker {
	return func(*http.Request) error {
		_, err := certificate(nil)
		return err
	}
}

// onEveryReplica runs on every replica.
type onEveryReplica struct {
	run func(context.Context) error
}

func (e onEveryReplica) Start(ctx context.Context) error { return e.run(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (onEveryReplica) NeedLeaderElection() bool { return false }
