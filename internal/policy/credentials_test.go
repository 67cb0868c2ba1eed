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

// However credentials come to be printed, neither the name of the user nor the password is.
func TestCredentialsShowNoSecret(t *testing.T) {
	c := &policy.Credentials{Name: "shop/proxy", Username: "the-user", Password: "the-password"}
	var shown bytes.Buffer
	for _, v := range []any{c, struct{ C *policy.Credentials }{c}, map[string]*policy.Credentials{"shop/proxy": c}} {
		fmt.Fprintf(&shown, "%v %+v %#v %s\n", v, v, v, v)
		if err := json.NewEncoder(&shown).Encode(v); err != nil {
			t.Fatal(err)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("credentials", "credentials", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("credentials", "credentials", v)
	}
	if strings.Contains(shown.String(), "the-") || !strings.Contains(shown.String(), "credentials shop/proxy") {
		t.Error(shown.String())
	}
}
