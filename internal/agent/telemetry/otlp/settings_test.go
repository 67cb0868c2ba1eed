package otlp

import (
	"strings"
	"testing"
)

// Logs are exported where somebody asks for them, and not because traces are.
func TestWhetherLogsAreExported(t *testing.T) {
	const all, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
	for name, tc := range map[string]struct {
		variables      map[string]string
		protocol, says string
	}{
		"nothing is written":                  {nil, "", ""},
		"a collector for all":                 {map[string]string{all: "http://a:4317"}, "", ""},
		"a collector for logs":                {map[string]string{own: "http://a:4317"}, HTTP, ""},
		"a collector for all, and for logs":   {map[string]string{all: "nonsense", own: "http://a:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, GRPC, ""},
		"a collector for all, asked for logs": {map[string]string{all: "http://a:4317", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, GRPC, ""},
		"a collector for logs, asked not to":  {map[string]string{own: "http://a:4317", "OTEL_LOGS_EXPORTER": "none"}, "", ""},
		"everything is switched off":          {map[string]string{own: "http://a:4317", "OTEL_SDK_DISABLED": "true"}, "", ""},
		"traces alone are switched off":       {map[string]string{own: "http://a:4317", "OTEL_TRACES_EXPORTER": "none"}, HTTP, ""},
		"asked for, and no collector":         {map[string]string{"OTEL_LOGS_EXPORTER": "otlp"}, "", "OTEL_LOGS_EXPORTER=otlp needs a collector: write its URL"},
		"another exporter":                    {map[string]string{own: "http://a:4317", "OTEL_LOGS_EXPORTER": "console"}, "", "write otlp or none"},
		"an endpoint without a scheme":        {map[string]string{own: "a:4317"}, "", own + `: "a:4317" is no URL`},
		"a password, without a scheme":        {map[string]string{own: "me:secret@a:4317"}, "", own + `: "a:4317" is no URL`},
		"a password that is no URL's":         {map[string]string{own: "http://me:sec%ret@a:4317"}, "", own + `: "a:4317" is no URL`},
		"a key pair of two kinds": {
			map[string]string{own: "http://a", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE": "a", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "b"}, "", "those with LOGS_",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.variables {
				t.Setenv(k, v)
			}
			got, err := Logs.Protocol()
			if got != tc.protocol || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q, %v; want %q, %q", got, err, tc.protocol, tc.says)
			}
		})
	}
}

// What the environment says of the agent goes before what it says of itself.
func TestTheResource(t *testing.T) {
	of := func() map[string]string {
		t.Helper()
		r, err := Resource("n1")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, a := range r.Attributes() {
			out[string(a.Key)] = a.Value.AsString()
		}
		return out
	}
	if got := of(); len(got) != 2 || got["service.name"] != "fairlead-agent" || got["k8s.node.name"] != "n1" {
		t.Errorf("%v", got)
	}
	t.Setenv("OTEL_SERVICE_NAME", "calls")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=other,cluster=a")
	if got := of(); len(got) != 3 || got["service.name"] != "calls" || got["k8s.node.name"] != "other" || got["cluster"] != "a" {
		t.Errorf("%v", got)
	}
}
