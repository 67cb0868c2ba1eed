package spans

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ca has a certificate for a collector, and one for its client, in files.
type ca struct {
	file, clientCertificate, clientKey string
	server                             *tls.Config
}

func newCA(t *testing.T) ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := ca{file: write(t, "ca.crt", "CERTIFICATE", der), clientKey: write(t, "client.key", "PRIVATE KEY", private)}
	c.clientCertificate = c.file
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own)
	c.server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		MinVersion: tls.VersionTLS13,
	}
	return c
}

func write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
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
	none := write(t, "none", "SOMETHING", nil)
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
