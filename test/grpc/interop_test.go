package grpc

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// interopCase is a case of google.golang.org/grpc/interop/client.
type interopCase struct {
	// args are those that it needs beside its name, and env what it needs of the environment.
	args, env func(a *accounts) []string
	// tls: it sends tokens, which the client does over TLS alone.
	tls bool
	// hasty: it may end before anything is sent.
	hasty bool
	// failing: it fails by itself, and why.
	failing string
}

// interopCases are all of them.
var interopCases = map[string]interopCase{
	"empty_unary": {}, "large_unary": {}, "client_streaming": {}, "server_streaming": {}, "ping_pong": {}, "empty_stream": {},
	"timeout_on_sleeping_server": {hasty: true}, "cancel_after_begin": {hasty: true}, "cancel_after_first_response": {}, "status_code_and_message": {},
	"special_status_message": {}, "custom_metadata": {}, "unimplemented_method": {}, "unimplemented_service": {},
	"rpc_soak":         {args: soak},
	"channel_soak":     {args: soak},
	"orca_per_rpc":     {args: orca},
	"orca_oob":         {args: orca},
	"pick_first_unary": {failing: "the server in Go does not say who it is"},

	"jwt_token_creds":                    {tls: true, args: (*accounts).keyArgs},
	"service_account_creds":              {tls: true, args: (*accounts).keyArgs},
	"per_rpc_creds":                      {tls: true, args: (*accounts).keyArgs},
	"oauth2_auth_token":                  {tls: true, args: (*accounts).keyArgs},
	"compute_engine_creds":               {tls: true, args: (*accounts).keyArgs, env: (*accounts).machineEnv},
	"google_default_credentials":         {tls: true, args: custom("google_default_credentials"), env: (*accounts).keyEnv},
	"compute_engine_channel_credentials": {tls: true, args: custom("compute_engine_channel_creds"), env: (*accounts).machineEnv},
}

func soak(*accounts) []string { return []string{"--soak_iterations=20"} }

func orca(*accounts) []string {
	return []string{`--service_config_json={"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`}
}

// custom has the client take credentials of a kind that bring TLS along.
func custom(kind string) func(*accounts) []string {
	return func(*accounts) []string { return []string{"--use_tls=false", "--custom_credentials_type=" + kind} }
}

// caseTakes bounds one case, and interopPort is where the server listens.
const (
	caseTakes   = 30 * time.Second
	interopPort = 10000
)

// namedCase is a case in what the client says of itself.
var namedCase = regexp.MustCompile(`(?m)^\s+([a-z0-9_]+)\s*: .*[;.]$`)

func TestAllInteropCasesAreKnown(t *testing.T) {
	out, _ := exec.CommandContext(t.Context(), program(t, interopClient), "-help").CombinedOutput()
	found := namedCase.FindAllSubmatch(out, -1)
	if len(found) < 20 {
		t.Fatalf("the client names %d cases:\n%s", len(found), out)
	}
	for _, m := range found {
		if _, ok := interopCases[string(m[1])]; !ok {
			t.Errorf("the case %s does not run", m[1])
		}
	}
}

func TestInteroperability(t *testing.T) {
	ways := []way{direct, governed, originated, directTLS, intercepted}
	for _, pkg := range []string{interopClient, interopServer} {
		program(t, pkg)
	}
	var results perWay
	t.Run("ways", func(t *testing.T) {
		for _, how := range ways {
			t.Run(how.name, func(t *testing.T) {
				t.Parallel()
				results.put(how, interop(t, newWorld(t, how)))
			})
		}
	})
	results.compare(t, ways)
}

// interop runs the cases in a world.
func interop(t *testing.T, w *world) outcomes {
	server := netip.AddrPortFrom(netnstest.World4, interopPort)
	w.serve(server, program(t, interopServer), "--port="+strconv.Itoa(interopPort), "--use_tls="+strconv.FormatBool(w.way.serverTLS),
		"--tls_cert_file="+w.file("cert"), "--tls_key_file="+w.file("key"))
	a, out := w.accounts(), outcomes{}
	for name, c := range interopCases {
		if c.tls && !w.way.clientTLS {
			continue
		}
		t.Run(name, func(t *testing.T) {
			before := w.seen.grpc.Load()
			said, err := w.interopCase(name, c, a)
			out[name] = "passed"
			if err != nil {
				out[name] = "failed"
			}
			if (err != nil) != (c.failing != "") {
				t.Errorf("%v\n%s", err, said)
			}
			if w.way.captured && !c.hasty {
				netnstest.Eventually(t, time.Second, "its calls are governed", func() bool { return w.seen.grpc.Load() > before })
			}
		})
	}
	return out
}

// interopCase runs one case in the pod.
func (w *world) interopCase(name string, c interopCase, a *accounts) (said []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), caseTakes)
	defer cancel()
	args := []string{program(w.t, interopClient), "--test_case=" + name, "--server_host=" + http2Name,
		"--server_port=" + strconv.Itoa(interopPort), "--use_tls=" + strconv.FormatBool(w.way.clientTLS)}
	if c.args != nil {
		args = append(args, c.args(a)...)
	}
	cmd := w.command(ctx, w.pod, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+w.file("roots"), "SSL_CERT_DIR="+w.file("none"))
	if c.env != nil {
		cmd.Env = append(cmd.Env, c.env(a)...)
	}
	return cmd.CombinedOutput()
}
