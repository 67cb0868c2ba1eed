package wire_test

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// script is a manager that sends what the test gives it: messages that ours never sends.
type script struct {
	say    func(hello wire.Hello, s wire.SubscribeServer) error
	helloc chan wire.Hello
}

func (s script) Subscribe(stream wire.SubscribeServer) error {
	hello, err := stream.RecvHello()
	if err != nil {
		return err
	}
	s.helloc <- hello
	if err := s.say(hello, stream); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (script) Report(s wire.ReportServer) error { return nil }

func (w *testbed) scripted(address string, say func(wire.Hello, wire.SubscribeServer) error) chan wire.Hello {
	w.t.Helper()
	certificate, err := w.ca.Issue(time.Now(), []string{service})
	if err != nil {
		w.t.Fatal(err)
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate}})))
	hellos := make(chan wire.Hello, 1000)
	wire.Register(g, script{say: say, helloc: hellos})
	m := &manager{address: address, listener: bufconn.Listen(1 << 20)}
	done := make(chan error, 1)
	go func() { done <- g.Serve(m.listener) }()
	m.stop = func() {
		g.Stop()
		<-done
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.managers[address] = m
	return hellos
}

func resource(t *testing.T, w *policy.Workload) *wire.Resource {
	t.Helper()
	r, err := wire.EncodeWorkload(w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNothingIsRemovedBeforeTheSnapshotIsComplete(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		one, two, three := &policy.Workload{UID: "1"}, &policy.Workload{UID: "2"}, &policy.Workload{UID: "3"}
		gate := make(chan struct{})
		w.scripted("a:1", func(_ wire.Hello, s wire.SubscribeServer) error {
			for i, u := range []wire.Update{
				{Set: []*wire.Resource{resource(t, one), resource(t, two)}, SnapshotComplete: false},
				{Removed: []wire.Ref{resource(t, one).Ref}, Set: []*wire.Resource{resource(t, three)}},
				{SnapshotComplete: true},
			} {
				u.Nonce = uint64(i + 1)
				if err := s.Send(u); err != nil {
					return err
				}
				if m, err := s.Recv(); err != nil || m.Ack == nil || m.Ack.Nonce != u.Nonce {
					t.Errorf("ack %v, %v; want %d", m.Ack, err, u.Nonce)
				}
				<-gate
			}
			return nil
		})
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		for _, want := range []int{2, 3, 2} {
			synctest.Wait()
			if got := a.State().Workloads; got != want {
				t.Errorf("%d workloads, want %d", got, want)
			}
			gate <- struct{}{}
		}
	})
}

func TestAnAgentLeavesAManagerThatBreaksTheRulesAndKeepsItsPolicy(t *testing.T) {
	good := &policy.Workload{UID: "good"}
	for name, bad := range map[string]func(t *testing.T) []wire.Update{
		"parts of two updates": func(*testing.T) []wire.Update { return []wire.Update{{Nonce: 2, More: true}, {Nonce: 3}} },
		"damaged resource": func(t *testing.T) []wire.Update {
			r := *resource(t, &policy.Workload{UID: "bad"})
			r.Version[0] ^= 1
			return []wire.Update{{Nonce: 2, Set: []*wire.Resource{&r}}}
		},
		"nameless removal": func(*testing.T) []wire.Update {
			return []wire.Update{{Nonce: 2, Removed: []wire.Ref{{Kind: wire.Profile}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withTestbed(t, func(t *testing.T, w *testbed) {
				hellos := w.scripted("a:1", func(_ wire.Hello, s wire.SubscribeServer) error {
					if err := s.Send(wire.Update{Nonce: 1, Set: []*wire.Resource{resource(t, good)}, SnapshotComplete: true}); err != nil {
						return err
					}
					if _, err := s.Recv(); err != nil {
						return err
					}
					for _, u := range bad(t) {
						if err := s.Send(u); err != nil {
							return err
						}
					}
					return nil
				})
				a := w.agent(agentOptions{node: "n0"})
				defer a.stop()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if s := a.Snapshot(); len(s.Workloads) != 1 || s.Workloads["good"] == nil {
					t.Errorf("in force: %v", s.Workloads)
				}
				if len(hellos) < 2 {
					t.Error("the agent did not start over")
				}
				<-hellos
				if again := <-hellos; len(again.Held) != 1 {
					t.Errorf("the second hello lists %v", again.Held)
				}
			})
		})
	}
}
