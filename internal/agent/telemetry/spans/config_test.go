package spans

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// ca has a certificate for a collector, and one for its client, in files.
type ca struct {
	file, clientCertificate, clientKey string
	server                             *tls.Config
}

func newCA(t *testing.T) ca {
	t.Helper()
	authority := tlstest.New(t)
	own := authority.Issue(nil, "127.0.0.1")
	certificate, key := tlstest.PEMs(t, own)
	return ca{
		file: write(t, "ca.crt", authority.PEM()), clientCertificate: write(t, "client.crt", certificate), clientKey: write(t, "client.key", key),
		server: &tls.Config{
			Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(), MinVersion: tls.VersionTLS13,
		},
	}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoEndpointMeansNoExporter(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"nothing is written":           {},
		"only how":                     {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"traces are switched off":      {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_TRACES_EXPORTER": "none"},
		"everything is switched off":   {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_SDK_DISABLED": "true"},
		"nothing but the resource":     {"OTEL_SERVICE_NAME": "a"},
		"an endpoint for metrics only": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a:4317"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range variables {
				t.Setenv(k, v)
			}
			if c, err := ClientFromEnvironment(); c != nil || err != nil {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

// Whoever writes something that cannot be meant gets a sentence that names the variable and says what to write.
func TestWrongVariablesAreRefused(t *testing.T) {
	none := write(t, "none", []byte("no certificate"))
	for name, tc := range map[string]struct {
		variables map[string]string
		want      string
	}{
		"an endpoint without a scheme": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, `OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" is no URL of a collector: write https://`},
		"that of traces goes before": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "a"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		},
		"TLS, and none": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "OTEL_EXPORTER_OTLP_INSECURE: ",
		},
		"none, and TLS": {
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_INSECURE": "false"}, "OTEL_EXPORTER_OTLP_TRACES_INSECURE: ",
		},
		"a protocol nobody speaks":   {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "write grpc or http/protobuf"},
		"a timeout with a unit":      {map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "write 10000 for 10 seconds"},
		"a compression":              {map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "write gzip or none"},
		"header fields":              {map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "Bearer secret"}, "name=value,name=value"},
		"a file that is not there":   {map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"}, "OTEL_EXPORTER_OTLP_CERTIFICATE: open /nowhere"},
		"a file without certificate": {map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": none}, "has no certificate in PEM"},
		"a certificate without key":  {map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": none}, "set both or neither"},
		"a certificate for traces, and a key for all": {
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": none, "OTEL_EXPORTER_OTLP_CLIENT_KEY": none}, "set both or neither",
		},
		"a key pair that is none": {
			map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": none, "OTEL_EXPORTER_OTLP_CLIENT_KEY": none}, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
			for k, v := range tc.variables {
				t.Setenv(k, v)
			}
			c, err := ClientFromEnvironment()
			if err == nil || c != nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestResourceAttributesAreRead(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense")
	if _, err := resourceOf("n"); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES: write") {
		t.Error(err)
	}
}
