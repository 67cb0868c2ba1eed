package compile

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// held returns the fields for which the page of enforced fields names tests, by driver.
func held(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/reference/enforcement.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		out[row[2]] = append(out[row[2]], row[1])
	}
	if len(out["http1"]) < 50 || len(out["opaque"]) < 30 {
		t.Fatalf("docs/reference/enforcement.md is not as expected: %d and %d fields", len(out["http1"]), len(out["opaque"]))
	}
	return out
}

// What the table says of passed connections is what tests hold: a field that they hold for requests is either held for passed connections too,
// or listed as being about requests.
func TestRequestFieldsAreThoseThatNothingHoldsForPassedConnections(t *testing.T) {
	tests := held(t)
	// It only spreads what open.duration says, which is held.
	const spreads = "circuitBreaker.open.jitterPercent"
	for _, field := range tests["http1"] {
		if strings.HasPrefix(field, "to[]") {
			continue // it says itself what it is for
		}
		_, listed := entryOf(requestFields, field)
		opaque := slices.Contains(tests["opaque"], field) || field == spreads
		if listed == opaque {
			t.Errorf("%s: about requests alone %v, held for passed connections %v", field, listed, opaque)
		}
	}
	for _, entry := range requestFields {
		if !slices.ContainsFunc(Fields(), func(f Field) bool { _, ok := entryOf([]string{entry}, f.Path); return ok }) {
			t.Errorf("%s stands for no field that is enforced for requests", entry)
		}
	}
}

func TestFieldsAboutRequestsAreNotEnforcedWhereConnectionsArePassed(t *testing.T) {
	body := &v1alpha1.PolicyBody{
		CallBlocks: v1alpha1.CallBlocks{
			Timeouts: &v1alpha1.Timeouts{Connect: "1s", ResponseHeader: "2s"},
			Retry:    &v1alpha1.Retry{MaxRetries: i32(1), StatusCodes: []v1alpha1.StatusCode{"503"}},
		},
		Rules: []v1alpha1.Rule{{Name: "a", Match: []v1alpha1.CallMatch{{Methods: []string{"GET"}}}, CallBlocks: v1alpha1.CallBlocks{Timeouts: &v1alpha1.Timeouts{Read: "1s"}}}},
	}
	of := func(reason string, target int) []UnenforcedField {
		return []UnenforcedField{
			{"defaults.rules", reason, target}, {"defaults.timeouts.responseHeader", reason, target}, {"defaults.retry.statusCodes", reason, target},
		}
	}
	tls := v1alpha1.Destination{Host: "a.example", Protocol: v1alpha1.ProtocolTLS}
	tcp := v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: "10.0.0.0/8", Protocol: v1alpha1.ProtocolTCP}}
	src := &Source{Level: LevelDefaults, Body: body, To: to(
		host("a.example", 80), host("a.example"), tls, tcp, v1alpha1.Destination{Host: "b.example", Protocol: v1alpha1.ProtocolHTTP}, anyOf(), anyOf(443),
		v1alpha1.Destination{Host: "c.example", TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept}})}
	want := slices.Concat(
		[]UnenforcedField{{"to[1].host", v1alpha1.ReasonEncrypted, 1}}, of(v1alpha1.ReasonEncrypted, 1),
		[]UnenforcedField{{"to[2].protocol", v1alpha1.ReasonEncrypted, 2}}, of(v1alpha1.ReasonEncrypted, 2),
		[]UnenforcedField{{"to[3].cidr.protocol", v1alpha1.ReasonOpaqueProtocol, 3}}, of(v1alpha1.ReasonOpaqueProtocol, 3),
		[]UnenforcedField{{"to[6].ports", v1alpha1.ReasonEncrypted, 6}}, of(v1alpha1.ReasonEncrypted, 6),
	)
	if diff := cmp.Diff(want, UnenforcedFields(src)); diff != "" {
		t.Error(diff)
	}
}
