package subscribe

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

const secret = "the-private-key-of-the-client"

// partner is a profile that refers to roots and a key pair.
func partner(t testing.TB, edit int) *wire.Resource {
	t.Helper()
	base := policy.Defaults()
	base.Retry.MaxRetries = edit
	return encoded(t, wire.EncodeProfile, &policy.Profile{Name: "partner", Bindings: []policy.Binding{{
		Key: "k", Policy: policy.ParseID("shop/partner"), Base: base,
		To: policy.Target{Kind: policy.TargetHost, Host: "a.example", TLS: policy.TLS{Mode: policy.TLSOriginate, Roots: "roots", Certificate: "shop/client"}},
	}}})
}

func keyPair(t testing.TB, key string) *wire.Resource {
	t.Helper()
	return encoded(t, wire.StandardEncoder().KeyPair, &policy.KeyPair{Name: "shop/client", Chain: [][]byte{[]byte("leaf")}, Key: []byte(key)})
}

func roots(t testing.TB, certificate string) *wire.Resource {
	t.Helper()
	return encoded(t, wire.StandardEncoder().Roots, &policy.Roots{Name: "roots", Certificates: [][]byte{[]byte(certificate)}})
}

func proxyCredentials(t testing.TB) *wire.Resource {
	t.Helper()
	return encoded(t, wire.StandardEncoder().Credentials, &policy.Credentials{Name: "shop/proxy", Username: "u", Password: secret})
}

// secretApplier refuses profiles while the key pair that they refer to is bad.
type secretApplier struct{ bad string }

func (a *secretApplier) Apply(next *policy.Snapshot) []Rejection {
	if p := next.KeyPairs["shop/client"]; next.Profiles["partner"] != nil && p != nil && string(p.Key) == a.bad {
		return []Rejection{{Profile: "partner", Reason: wire.ReasonInvalid, Message: "the key of shop/client does not match"}}
	}
	return nil
}

// Neither the copy on disk, nor the log, nor /debug/config shows a secret in any form. An agent that starts from disk knows what is referred
// to by name, and has the certificates that it trusts.
func TestASecretIsNeverOnDiskNorShown(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	opts := Options{
		Node: "n", Target: "manager:9443", TokenFile: "t", BundleFile: "b", CopyFile: filepath.Join(dir, "policy"), Applier: &secretApplier{bad: secret + "-bad"},
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range []wire.Update{
		{Nonce: 1, Set: []*wire.Resource{partner(t, 1), keyPair(t, secret), roots(t, "root"), proxyCredentials(t)}},
		{Nonce: 2, Set: []*wire.Resource{keyPair(t, secret+"-bad")}},
		{Nonce: 3, Set: []*wire.Resource{{Ref: wire.Ref{Kind: wire.KeyPair, Name: "shop/other"}, Payload: []byte(secret)}}},
	} {
		if ack := c.receive(t.Context(), c.current.Load(), u); len(ack.Rejections) != min(i, 1) {
			t.Fatalf("update %d: %v", u.Nonce, ack.Rejections)
		}
	}
	c.copies.write(t.Context())
	if got := c.Snapshot().KeyPairs["shop/client"]; got == nil || string(got.Key) != secret {
		t.Fatalf("the key pair is not in force: %v", got)
	}
	shown, err := json.Marshal(map[string]any{"State": c.State(), "Snapshot": c.Snapshot()}) // as /debug/config does
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{"the log": log.Bytes(), "/debug/config": shown, "the snapshot": fmt.Appendf(nil, "%+v", c.Snapshot())}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal("no copy", err)
	}
	for _, f := range files {
		if places[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range places {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:32], hex.EncodeToString([]byte(secret)), fmt.Sprintf("%d", []byte(secret))} {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s has the secret as %q", name, form)
			}
		}
	}
	if !bytes.Contains(shown, []byte("key pair shop/client")) || !bytes.Contains(log.Bytes(), []byte("does not match")) {
		t.Error("what was to be looked through shows nothing at all")
	}

	again, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	again.start(t.Context())
	s := again.Snapshot()
	if len(s.KeyPairs)+len(s.Credentials) > 0 || s.Roots["roots"] == nil || s.Profiles["partner"].Bindings[0].To.TLS.Certificate != "shop/client" {
		t.Errorf("from disk: %+v", s)
	}
	if _, held := again.current.Load().versions()[wire.Ref{Kind: wire.KeyPair, Name: "shop/client"}]; held {
		t.Error("the manager hears that the secret is held")
	}
}

// A key pair that the agent cannot use does not cost the profile that refers to it.
func TestARefusedKeyPairKeepsItsPreviousVersion(t *testing.T) {
	a := &secretApplier{bad: "bad"}
	current, _ := emptySet().with(wire.Update{Set: []*wire.Resource{partner(t, 1), keyPair(t, "good"), roots(t, "one")}})
	for name, set := range map[string][]*wire.Resource{
		"alone":            {keyPair(t, "bad")},
		"with the profile": {keyPair(t, "bad"), partner(t, 2)},
	} {
		u := wire.Update{Set: set}
		next, _ := current.with(u)
		got, why := apply(a, current, next)
		if string(got.snapshot.KeyPairs["shop/client"].Key) != "good" || edits(got.snapshot)["partner"] != len(set) {
			t.Errorf("%s: in force %v", name, edits(got.snapshot))
		}
		refused := why.rejections(current, got, u)
		if len(refused) != 1 || refused[0].Ref.Kind != wire.KeyPair || refused[0].Held != keyPair(t, "good").Version || refused[0].Message != "the key of shop/client does not match" {
			t.Errorf("%s: refused %v", name, refused)
		}
	}
	first, _ := emptySet().with(wire.Update{Set: []*wire.Resource{partner(t, 1), keyPair(t, "bad")}})
	if got, _ := apply(a, emptySet(), first); got.snapshot.Profiles["partner"] != nil {
		t.Error("without a version before, the profile is not in force")
	}
	gone, _ := current.with(wire.Update{Removed: []wire.Ref{{Kind: wire.KeyPair, Name: "shop/client"}, {Kind: wire.Roots, Name: "roots"}}})
	if len(gone.snapshot.KeyPairs)+len(gone.snapshot.Roots) > 0 || len(gone.resources) != 1 {
		t.Errorf("removed, and there is %v", gone.resources)
	}
}
