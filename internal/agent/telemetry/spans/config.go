package spans

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
)

// serviceName is what the agent is called where its environment does not say.
const serviceName = "fairlead-agent"

// setting returns a variable of the exporter as the specification has it: what is said for traces goes before what is said for all signals.
func setting(name string) (variable, value string) {
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + name, "OTEL_EXPORTER_OTLP_" + name} {
		if value := strings.TrimSpace(os.Getenv(variable)); value != "" {
			return variable, value
		}
	}
	return "", ""
}

// ClientFromEnvironment returns a client as the environment of the process describes it, by the variables OTEL_EXPORTER_OTLP_… of the OpenTelemetry
// specification; nil if it names no endpoint. An error says which variable is wrong and what to write.
func ClientFromEnvironment() (otlptrace.Client, error) {
	variable, endpoint := setting("ENDPOINT")
	if endpoint == "" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s: %q is no URL of a collector: write https://collector.example:4317, or http:// for one without TLS", variable, endpoint)
	}
	if err := checkInsecure(variable, u.Scheme); err != nil {
		return nil, err
	}
	for _, check := range []func() error{checkTimeout, checkCompression, checkHeaders, checkTrust, checkIdentity} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	switch variable, protocol := setting("PROTOCOL"); protocol {
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	default:
		return nil, fmt.Errorf("%s: %q is not spoken: write grpc or http/protobuf", variable, protocol)
	}
}

// checkInsecure sees to it that the endpoint's scheme alone says whether there is TLS, as the specification has it: the client goes by the variable, and
// would send in the clear what is to be sent by TLS.
func checkInsecure(endpoint, scheme string) error {
	variable, value := setting("INSECURE")
	if value == "" || strings.EqualFold(value, "true") == (scheme == "http") {
		return nil
	}
	return fmt.Errorf("%s: %q is not what %s says with %s://: remove it, the URL says whether there is TLS", variable, value, endpoint, scheme)
}

func checkTimeout() error {
	variable, value := setting("TIMEOUT")
	if n, err := strconv.Atoi(value); value != "" && (err != nil || n <= 0) {
		return fmt.Errorf("%s: %q is no number of milliseconds: write 10000 for 10 seconds", variable, value)
	}
	return nil
}

func checkCompression() error {
	switch variable, value := setting("COMPRESSION"); value {
	case "", "none", "gzip":
		return nil
	default:
		return fmt.Errorf("%s: %q is not known: write gzip or none", variable, value)
	}
}

// checkHeaders does not repeat what is wrong: values are secrets.
func checkHeaders() error {
	variable, value := setting("HEADERS")
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

func checkTrust() error {
	variable, path := setting("CERTIFICATE")
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

func checkIdentity() error {
	variable, certificate := setting("CLIENT_CERTIFICATE")
	keyVariable, key := setting("CLIENT_KEY")
	switch {
	case certificate == "" && key == "":
		return nil
	case certificate == "" || key == "", strings.TrimSuffix(variable, "CERTIFICATE") != strings.TrimSuffix(keyVariable, "KEY"): // the client takes no pair of two kinds
		return fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together, and so do those with TRACES_: set both or neither")
	}
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return nil
}

// resourceOf says what spans come from: the agent of a node, and what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add.
func resourceOf(node string) (*resourcepb.Resource, error) {
	r, err := resource.New(context.Background(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: write attributes as name=value,name=value: %w", err)
	}
	values := map[string]string{}
	var out []*commonpb.KeyValue
	for _, a := range r.Attributes() {
		values[string(a.Key)] = a.Value.String()
		out = append(out, text(string(a.Key), a.Value.String()))
	}
	for name, value := range map[string]string{"service.name": serviceName, "k8s.node.name": node} {
		if _, said := values[name]; !said && value != "" {
			out = append(out, text(name, value))
		}
	}
	return &resourcepb.Resource{Attributes: out}, nil
}
