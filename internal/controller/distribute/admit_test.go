package distribute

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"fairlead.dev/fairlead/internal/wire"
)

func TestOnlyAnAgentOfTheNodeItClaimsIsServed(t *testing.T) {
	for name, tc := range map[string]struct {
		token string
		node  string
		setup func(o *testManager)
		want  codes.Code
		// tokenGood: the claim is what is wrong; reports claim nothing.
		tokenGood bool
	}{
		"unknown token":        {token: "stolen", node: "n1", want: codes.Unauthenticated},
		"empty token":          {token: "", node: "n1", want: codes.Unauthenticated},
		"oversized token":      {token: strings.Repeat("x", maxTokenBytes+1), node: "n1", want: codes.Unauthenticated},
		"other node's claim":   {token: "token-n2", node: "n1", want: codes.PermissionDenied, tokenGood: true},
		"no claim":             {token: "token-n1", node: "", want: codes.PermissionDenied, tokenGood: true},
		"not an agent":         {token: "token-n1", node: "n1", setup: func(o *testManager) { o.auth.fails = ErrForbidden }, want: codes.PermissionDenied},
		"cannot be checked":    {token: "token-n1", node: "n1", setup: func(o *testManager) { o.auth.fails = errors.New("away") }, want: codes.Unavailable},
		"token without a node": {token: "token-n1", node: "", setup: func(o *testManager) { o.auth.known["token-n1"] = Identity{PodUID: "a"} }, want: codes.PermissionDenied},
		"token without a pod":  {token: "token-n1", node: "n1", setup: func(o *testManager) { o.auth.known["token-n1"] = Identity{Node: "n1"} }, want: codes.PermissionDenied},
		"expired token": {token: "token-n1", node: "n1", setup: func(o *testManager) {
			o.auth.known["token-n1"] = Identity{Node: "n1", PodUID: "a", Expiry: time.Now()}
		}, want: codes.Unauthenticated},
		"not the leader": {token: "token-n1", node: "n1", setup: func(o *testManager) { o.store.Serving().Stop() }, want: codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			withManager(t, func(t *testing.T, o *testManager) {
				o.publish(shop)
				if tc.setup != nil {
					tc.setup(o)
				}
				a := o.agent(tc.token)
				defer a.leave()
				wantCode(t, a.refused(tc.node), tc.want)
				if !tc.tokenGood {
					reports, err := a.client.Report(a.ctx)
					if err == nil {
						_, err = reports.RecvAck()
					}
					wantCode(t, err, tc.want)
				}
				if n := o.store.Size().Agents; n != 0 {
					t.Errorf("%d agents", n)
				}
			})
		})
	}
}

func TestMoreThanOneAuthorizationIsRefused(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		a := o.agent("token-n1")
		defer a.leave()
		a.ctx = metadata.AppendToOutgoingContext(a.ctx, "authorization", "Bearer token-n2")
		wantCode(t, a.refused("n1"), codes.Unauthenticated)
	})
}

func TestAReplicaThatDoesNotLeadAnswersAtOnceAndChecksNoTokens(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.store.Serving().Stop()
		a := o.agent("token-n1")
		defer a.leave()
		start := time.Now()
		wantCode(t, a.refused("n1"), codes.Unavailable)
		if took := time.Since(start); took != 0 || o.auth.asked != 0 {
			t.Errorf("took %v, asked for %d tokens", took, o.auth.asked)
		}
	})
}

func TestLosingLeadershipEndsTheStreams(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		reports, err := a.client.Report(a.ctx)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.store.Serving().Stop()
		_, err = a.stream.Recv()
		wantCode(t, err, codes.Unavailable)
		_, err = reports.RecvAck()
		wantCode(t, err, codes.Unavailable)
		o.store.Serving().Start()
		if err := a.subscribe("n1", nil); err != nil {
			t.Fatal(err)
		}
		a.receive()
	})
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		o.auth.known["token-n1"] = Identity{Node: "n1", PodUID: "a", Expiry: time.Now().Add(10 * time.Minute)}
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		start := time.Now()
		_, err := a.stream.Recv()
		wantCode(t, err, codes.Unauthenticated)
		if after := time.Since(start); after != 10*time.Minute {
			t.Errorf("ended after %v, want 10m", after)
		}
	})
}

const subscribeMethod = "/fairlead.agent.v1.Distribution/Subscribe"

func TestAPeerThatSendsNoHelloIsCutOff(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		conn := o.connect(o.trusting())
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer token-n1")
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, subscribeMethod)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantCode(t, stream.RecvMsg(new(emptypb.Empty)), codes.DeadlineExceeded)
		if after := time.Since(start); after != 10*time.Second {
			t.Errorf("cut off after %v, want 10s", after)
		}
	})
}

func TestOnlyTLS13AndATrustedCertificateWillDo(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":            func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"another name":       func(c *tls.Config) { c.ServerName = "other.example" },
		"another authority":  func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
		"authority of hosts": func(c *tls.Config) { c.RootCAs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			withManager(t, func(t *testing.T, o *testManager) {
				config := o.trusting()
				change(config)
				conn := o.connect(config)
				defer conn.Close()
				_, err := wire.NewClient(conn).Subscribe(context.Background(), wire.Hello{Node: "n1"})
				wantCode(t, err, codes.Unavailable)
				if !strings.Contains(err.Error(), "handshake") && !strings.Contains(err.Error(), "tls") {
					t.Errorf("failed for another reason: %v", err)
				}
			})
		})
	}
}

func TestUnauthenticatedPeersCannotHoldManyStreams(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		conn := o.connect(o.trusting())
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer token-n1")
		for range maxStreamsPerConnection {
			if _, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, subscribeMethod); err != nil {
				t.Fatal(err)
			}
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := conn.NewStream(limited, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, subscribeMethod)
		wantCode(t, err, codes.DeadlineExceeded)
	})
}
