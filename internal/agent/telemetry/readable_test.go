package telemetry

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func TestReadable(t *testing.T) {
	type inner struct {
		Wait time.Duration `json:",omitempty"`
		Left string        `json:"right"`
		note string
	}
	none := (*inner)(nil)
	tests := map[string]struct {
		value any
		want  string
	}{
		"nothing":              {nil, `null`},
		"no block":             {none, `null`},
		"a block":              {&inner{Wait: time.Second, Left: "l", note: "hidden"}, `{"Wait":"1s","right":"l"}`},
		"an empty field":       {inner{}, `{"right":""}`},
		"an empty struct":      {struct{}{}, `{}`},
		"no list":              {[]int(nil), `[]`},
		"causes":               {policy.Of(policy.Reset, policy.ConnectFailure), `["ConnectFailure","Reset"]`},
		"no cause":             {policy.Conditions(0), `[]`},
		"gRPC statuses":        {[]policy.GRPCStatus{14, 13, 99}, `["UNAVAILABLE","INTERNAL","99"]`},
		"statuses":             {[]policy.StatusRange{{From: 503, To: 503}, {From: 502, To: 504}}, `["503","502-504"]`},
		"no bound":             {time.Duration(0), `"0s"`},
		"a number of no name":  {uint16(8080), `8080`},
		"a map":                {map[string]any{"b": time.Minute, "a": none}, `{"a":null,"b":"1m0s"}`},
		"a moment":             {time.Unix(0, 0).UTC(), `"1970-01-01T00:00:00Z"`},
		"a policy's own value": {policy.SharePod, `"Pod"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(readable(reflect.ValueOf(tc.value)))
			if err != nil || string(got) != tc.want {
				t.Errorf("%s, %v, want %s", got, err, tc.want)
			}
		})
	}
}
