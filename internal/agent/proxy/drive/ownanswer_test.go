package drive

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

func TestAnswersOfThePolicysOwn(t *testing.T) {
	plain := policy.HeaderField{Name: "Content-Type", Value: "text/plain; charset=utf-8"}
	for name, tc := range map[string]struct {
		give policy.FallbackResponse
		kind call.Kind
		want OwnAnswer
	}{
		"nothing but a status": {policy.FallbackResponse{Status: 503}, call.Reset, OwnAnswer{Status: 503, Reason: "reset"}},
		"a body":               {policy.FallbackResponse{Status: 200, Body: "later"}, call.Deadline, OwnAnswer{200, "deadline", []policy.HeaderField{plain}, "later"}},
		"a body with a type": {
			policy.FallbackResponse{Status: 200, Headers: []policy.HeaderField{{Name: "content-type", Value: "application/json"}}, Body: "{}"}, call.Deadline,
			OwnAnswer{200, "deadline", []policy.HeaderField{{Name: "content-type", Value: "application/json"}}, "{}"},
		},
		"the reason": {
			policy.FallbackResponse{Status: 200, Headers: []policy.HeaderField{{Name: "X-Why", Value: "<%REASON%>"}}, Body: "%REASON% %REASON% %reason%"}, call.OK,
			OwnAnswer{200, "upstream_failure", []policy.HeaderField{{Name: "X-Why", Value: "<upstream_failure>"}, plain}, "upstream_failure upstream_failure %reason%"},
		},
		"no content": {policy.FallbackResponse{Status: 204, Body: "later"}, call.BreakerOpen, OwnAnswer{Status: 204, Reason: "circuit_open"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, AnswerOf(&tc.give, &call.Outcome{Kind: tc.kind})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
