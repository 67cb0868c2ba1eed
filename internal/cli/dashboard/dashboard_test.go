package dashboard

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/dashboard/generated"
)

// What is printed leads to the pages and to what they ask for; without the secret in it there is nothing.
func TestItServesUntilItEnds(t *testing.T) {
	c, err := generated.New(generated.Small)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("apiVersion: v1\nkind: Config\ncurrent-context: here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env.Flags.KubeConfig = &none
	printed, out := io.Pipe()
	c.Env.Out = out
	cmd := New(c.Env, "v1.2.3")
	cmd.SetArgs([]string{"--no-open"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(line, "The dashboard is at "), " ")
	client := &http.Client{Transport: &http.Transport{}}
	get := func(url string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if status, body := get(address); status != 200 || !strings.Contains(body, "app.js") {
		t.Errorf("%s: %d %s", address, status, body)
	}
	if status, body := get(address + "api/v1/cluster"); status != 200 || !strings.Contains(body, `"version":"v1.2.3"`) || !strings.Contains(body, `"context":"here"`) {
		t.Errorf("%d %s", status, body)
	}
	root := address[:strings.LastIndexByte(strings.TrimSuffix(address, "/"), '/')]
	if status, _ := get(root + "/api/v1/cluster"); status != 404 {
		t.Errorf("without the secret: %d", status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"--listen", "0.0.0.0"}, "loopback"},
		{[]string{"--listen", "localhost"}, "such as 127.0.0.1"},
		{[]string{"--behind-proxy", "https://fairlead.example"}, "without port or path"},
		{[]string{"--behind-proxy", "fairlead.example:8080"}, "without port or path"},
		{[]string{"--port", "70000"}, "port"},
		{[]string{"shop"}, "takes no arguments"},
	} {
		env, _, _ := clitest.Env(t)
		if err := clitest.Run(t, env, New(env, "v1"), tc.args...); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v", tc.args, err)
		}
	}
}
