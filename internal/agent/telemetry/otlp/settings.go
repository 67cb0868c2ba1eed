package otlp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// serviceName is what the agent is called where its environment does not say.
const serviceName = "fairlead-agent"

// Signal is what is exported, as variables of the environment have it in their names.
type Signal string

// The signals.
const (
	Traces Signal = "TRACES"
	Logs   Signal = "LOGS"
)

// The protocols that are spoken.
const (
	GRPC = "grpc"
	HTTP = "http/protobuf"
)

// setting returns a variable of the exporter as the specification has it: what is said for a signal goes before what is said for all.
func (s Signal) setting(name string) (variable, value string) {
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_" + string(s) + "_" + name, "OTEL_EXPORTER_OTLP_" + name} {
		if value := strings.TrimSpace(os.Getenv(variable)); value != "" {
			return variable, value
		}
	}
	return "", ""
}

// Protocol returns the protocol by which the environment of the process has the signal exported, by the variables OTEL_EXPORTER_OTLP_… of the
// OpenTelemetry specification; empty: it does not have it exported. An error says which variable is wrong and what to write.
func (s Signal) Protocol() (string, error) {
	variable, endpoint := s.setting("ENDPOINT")
	if on, err := s.wanted(endpoint != ""); !on || err != nil {
		return "", err
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s: %q is no URL of a collector: write https://collector.example:4317, or http:// for one without TLS", variable, withoutUser(endpoint))
	}
	if err := s.checkInsecure(variable, u.Scheme); err != nil {
		return "", err
	}
	for _, check := range []func() error{s.checkTimeout, s.checkCompression, s.checkHeaders, s.checkTrust, s.checkIdentity} {
		if err := check(); err != nil {
			return "", err
		}
	}
	switch variable, protocol := s.setting("PROTOCOL"); protocol {
	case "":
		return HTTP, nil
	case GRPC, HTTP:
		return protocol, nil
	default:
		return "", fmt.Errorf("%s: %q is not spoken: write grpc or http/protobuf", variable, protocol)
	}
}

// withoutUser is an endpoint without what may be a password in it.
func withoutUser(endpoint string) string { return endpoint[strings.LastIndexByte(endpoint, '@')+1:] }

// wanted reports whether the signal is to be exported. Traces are where there is an endpoint, since policies ask for each. Logs are where somebody asks for
// them: an endpoint for all signals is that of a collector which may take none.
func (s Signal) wanted(endpoint bool) (bool, error) {
	variable := "OTEL_" + string(s) + "_EXPORTER"
	by := strings.TrimSpace(os.Getenv(variable))
	switch {
	case strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || by == "none":
		return false, nil
	case s == Traces:
		return endpoint, nil
	case by == "":
		return strings.TrimSpace(os.Getenv("OTEL_EXPORTER_OTLP_"+string(s)+"_ENDPOINT")) != "", nil
	case by != "otlp":
		return false, fmt.Errorf("%s: %q is not known: write otlp or none", variable, by)
	case !endpoint:
		return false, errors.New(variable + "=otlp needs a collector: write its URL in OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_" + string(s) + "_ENDPOINT")
	}
	return true, nil
}

// checkInsecure sees to it that the endpoint's scheme alone says whether there is TLS, as the specification has it: the client goes by the variable, and
// would send in the clear what is to be sent by TLS.
func (s Signal) checkInsecure(endpoint, scheme string) error {
	variable, value := s.setting("INSECURE")
	if value == "" || strings.EqualFold(value, "true") == (scheme == "http") {
		return nil
	}
	return fmt.Errorf("%s: %q is not what %s says with %s://: remove it, the URL says whether there is TLS", variable, value, endpoint, scheme)
}

func (s Signal) checkTimeout() error {
	variable, value := s.setting("TIMEOUT")
	if n, err := strconv.Atoi(value); value != "" && (err != nil || n <= 0) {
		return fmt.Errorf("%s: %q is no number of milliseconds: write 10000 for 10 seconds", variable, value)
	}
	return nil
}

func (s Signal) checkCompression() error {
	switch variable, value := s.setting("COMPRESSION"); value {
	case "", "none", "gzip":
		return nil
	default:
		return fmt.Errorf("%s: %q is not known: write gzip or none", variable, value)
	}
}

// checkHeaders does not repeat what is wrong: values are secrets.
func (s Signal) checkHeaders() error {
	variable, value := s.setting("HEADERS")
	if value == "" {
		return nil
	}
	for field := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(field, "=")
		if _, err := url.PathUnescape(text); !ok || strings.TrimSpace(name) == "" || err != nil {
			return fmt.Errorf("%s: write header fields as name=value,name=value, with %%20 for a space in a value", variable)
		}
	}
	return nil
}

func (s Signal) checkTrust() error {
	variable, path := s.setting("CERTIFICATE")
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: %s has no certificate in PEM: name the file of those that sign the collector's", variable, path)
	}
	return nil
}

func (s Signal) checkIdentity() error {
	variable, certificate := s.setting("CLIENT_CERTIFICATE")
	keyVariable, key := s.setting("CLIENT_KEY")
	switch {
	case certificate == "" && key == "":
		return nil
	case certificate == "" || key == "", strings.TrimSuffix(variable, "CERTIFICATE") != strings.TrimSuffix(keyVariable, "KEY"): // the client takes no pair of two kinds
		return fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together, and so do those with %s_: set both or neither", s)
	}
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return nil
}

// Resource says what telemetry comes from: the agent of a node, and what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add, which go before.
func Resource(node string) (*resource.Resource, error) {
	own := []attribute.KeyValue{attribute.String("service.name", serviceName)}
	if node != "" {
		own = append(own, attribute.String("k8s.node.name", node))
	}
	r, err := resource.New(context.Background(), resource.WithAttributes(own...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: write attributes as name=value,name=value: %w", err)
	}
	return r, nil
}
