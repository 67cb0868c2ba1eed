package apivalidation

import (
	"fmt"
	"slices"
	"testing"
)

// rule is a validation rule, named by its message, with specs on either side of
// it. Specs are written as fragments; each is tried in every place it may stand.
type rule struct {
	message string
	refuse  []string
	accept  []string
}

// rules returns every validation rule of the API. A test compares it with the
// CRDs, so a rule without its cases is noticed.
func rules() []rule {
	return slices.Concat(
		policyRules(), destinationRules(), viaRules(), matchRules(), headRules(), timeoutRules(), retryRules(), backoffRules(),
		poolRules(), breakerRules(), limitRules(), fallbackRules(), faultRules(),
	)
}

func TestRulesRefuseAndAccept(t *testing.T) {
	needAPIServer(t)
	for _, r := range rules() {
		t.Run(r.message, func(t *testing.T) {
			for i, fragment := range r.refuse {
				for name, put := range placesFor(t, fragment) {
					t.Run(fmt.Sprintf("refuse %d in %s", i, name), func(t *testing.T) {
						mustRefuse(t, put(t, fragment), r.message)
					})
				}
			}
			for i, fragment := range r.accept {
				for name, put := range placesFor(t, fragment) {
					t.Run(fmt.Sprintf("accept %d in %s", i, name), func(t *testing.T) {
						mustAccept(t, put(t, fragment))
					})
				}
			}
		})
	}
}

// Every rule of the CRDs has its cases here, and every case a rule there.
func TestRulesAreComplete(t *testing.T) {
	inCRDs := map[string]bool{}
	for _, crd := range loadCRDs(t) {
		walk(crd.schema, "", func(n node) {
			for _, v := range n.schema.XValidations {
				inCRDs[v.Message] = true
			}
		})
	}
	tested := map[string]bool{}
	for _, r := range rules() {
		if tested[r.message] {
			t.Errorf("two entries for the same message: %s", r.message)
		}
		tested[r.message] = true
		if len(r.refuse) == 0 || len(r.accept) == 0 {
			t.Errorf("needs a spec to refuse and one to accept: %s", r.message)
		}
		if !inCRDs[r.message] {
			t.Errorf("no rule in the CRDs has this message: %s", r.message)
		}
	}
	for message := range inCRDs {
		if !tested[message] {
			t.Errorf("no cases for the rule: %s", message)
		}
	}
}
