package explain

import (
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"explain":          {"checkout-1", "payments.billing", "-n", "shop", "--method", "POST", "--path", "/v1/charges"},
		"explain-header":   {"pod/checkout-1", "http://payments.billing.svc.cluster.local/", "-n", "shop", "--header", "x-tier: gold"},
		"explain-named":    {"web-1", "http://192.0.2.7/v1", "-n", "shop", "--header", "Host: api.partner.example"},
		"explain-regex":    {"checkout-1", "http://10.96.0.12/v2/gold", "-n", "shop"},
		"explain-endpoint": {"checkout-1", "10.1.0.7:8080", "-n", "shop", "-o", "yaml"},
		"explain-host":     {"web-1", "https://api.partner.example/v1", "-n", "shop"},
		"explain-any":      {"web-1", "grpc://stock.elsewhere.example:9000", "-n", "shop", "--grpc", "stock.v1.Stock/Get"},
		"explain-hostnet":  {"node-exporter", "payments.billing:80", "-n", "shop"},
		"explain-nobody":   {"checkout-9", "payments.billing:80", "-n", "shop"},
		"explain-port":     {"checkout-1", "redis.elsewhere.example", "-n", "shop"},
		"explain-scheme":   {"checkout-1", "ftp://x", "-n", "shop"},
		"explain-files":    {"web-1", "payments.billing:80", "-n", "shop", "-f", shop},
		"explain-http2":    {"checkout-1", "payments.billing:80", "-n", "shop", "--http2"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t, shop)
			if err := clitest.Run(t, env, New(env), args...); err != nil {
				out.WriteString("error: " + err.Error() + "\n")
			}
			clitest.Golden(t, name, out.String()+errOut.String())
		})
	}
}
