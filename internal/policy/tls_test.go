package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// However a key pair comes to be printed, its key is not.
func TestAKeyPairShowsNoSecret(t *testing.T) {
	const secret = "the-private-key"
	pair := &policy.KeyPair{Name: "shop/client", Chain: [][]byte{[]byte("chain")}, Key: []byte(secret)}
	in := struct{ Pair *policy.KeyPair }{pair}
	all := map[string]*policy.KeyPair{"shop/client": pair}
	var shown bytes.Buffer
	for _, v := range []any{pair, *pair, in, all} {
		fmt.Fprintf(&shown, "%v %+v %#v %s\n", v, v, v, v)
		if err := json.NewEncoder(&shown).Encode(v); err != nil {
			t.Fatal(err)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("pair", "pair", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("pair", "pair", v)
	}
	for _, form := range []string{secret, fmt.Sprintf("%d", []byte(secret)), fmt.Sprintf("%x", secret), "dGhlLXBya"} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("the key is shown as %q in\n%s", form, shown.String())
		}
	}
	if !strings.Contains(shown.String(), "key pair shop/client") {
		t.Error("the name is not shown")
	}
}
