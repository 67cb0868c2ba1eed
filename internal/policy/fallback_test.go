package policy

import "testing"

func TestTheGRPCStatusOfAResponseOfThePolicys(t *testing.T) {
	field := func(value string) []HeaderField { return []HeaderField{{"X-Other", "1"}, {"Grpc-Status", value}} }
	for name, tc := range map[string]struct {
		give FallbackResponse
		want GRPCStatus
	}{
		"a success":                  {FallbackResponse{Status: 204}, 0},
		"a status of HTTP":           {FallbackResponse{Status: 503}, 14},
		"one that stands for no one": {FallbackResponse{Status: 418}, 2},
		"written":                    {FallbackResponse{Status: 200, Headers: field("5")}, 5},
		"written, and not defined":   {FallbackResponse{Status: 404, Headers: field("17")}, 12},
		"written, and no number":     {FallbackResponse{Status: 503, Headers: field("-1")}, 14},
	} {
		if got := tc.give.GRPCStatus(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
