package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// stopTimeout is how long the manager may take to end.
const stopTimeout = 20 * time.Second

// manager is the manager's process.
type manager struct {
	// immutable
	binary, kubeconfig, log string
	heap                    int64 // that the manager limits itself to under the Deployment's limit of memory
	cluster                 *cluster

	cmd      *exec.Cmd // nil while it does not run
	metrics  string    // address
	profiles string    // address
	ended    chan error

	mu sync.Mutex
	// guarded by mu
	agents string // address for agents
}

// newManager prepares what the manager needs: an identity with the permissions of the manifests, and nothing more.
func newManager(ctx context.Context, o *options, c *cluster) (*manager, error) {
	token, err := c.token(ctx, managerAccount, authenticationv1.TokenRequestSpec{})
	if err != nil {
		return nil, err
	}
	heap, err := deployedHeap(filepath.Join(o.config, "manager/deployment.yaml"))
	if err != nil {
		return nil, err
	}
	m := &manager{
		heap: heap, binary: o.manager, kubeconfig: filepath.Join(c.dir, "manager.kubeconfig"), log: filepath.Join(c.dir, "manager.log"), cluster: c,
	}
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["bench"] = &clientcmdapi.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
	cfg.AuthInfos["manager"] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "manager"}
	cfg.CurrentContext = "bench"
	return m, clientcmd.WriteToFile(*cfg, m.kubeconfig)
}

// start starts the manager, as the Deployment does but for the addresses.
func (m *manager) start() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(m.binary, "--kubeconfig="+m.kubeconfig, "--namespace="+systemNamespace, "--leader-elect",
		"--agents-address="+ports[0], "--metrics-address="+ports[1], "--health-address=0", "--profiling-address="+ports[2])
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), fmt.Sprint("GOMEMLIMIT=", m.heap))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the manager: %w", err)
	}
	m.cmd, m.metrics, m.profiles, m.ended = cmd, ports[1], ports[2], make(chan error, 1)
	go func() { m.ended <- cmd.Wait() }() // stop waits for it
	m.mu.Lock()
	m.agents = ports[0]
	m.mu.Unlock()
	return nil
}

// stop ends the manager as the kubelet does.
func (m *manager) stop() error {
	if m.cmd == nil {
		return nil
	}
	cmd := m.cmd
	m.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the manager: %w", err)
	}
	limit := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	if err := <-m.ended; err != nil {
		return fmt.Errorf("the manager ended: %w", err)
	}
	return nil
}

// kill ends the manager as a node that fails does.
func (m *manager) kill() error {
	cmd := m.cmd
	m.cmd = nil
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the manager: %w", err)
	}
	if err := <-m.ended; err == nil {
		return errors.New("the manager ended by itself before it was killed")
	}
	return nil
}

// shutdown ends the manager for good. If the benchmark failed, or the manager did, the end of its log says more.
func (m *manager) shutdown(cause error) error {
	err := m.stop()
	if err == nil && cause == nil {
		return nil
	}
	data, _ := os.ReadFile(m.log)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	fmt.Fprintln(os.Stderr, "the end of the manager's log:")
	fmt.Fprintln(os.Stderr, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	return err
}

func (m *manager) pid() int { return m.cmd.Process.Pid }

// address is where agents find the manager now.
func (m *manager) address() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agents
}

// bundle returns the certificates that the manager published for agents.
func (m *manager) bundle(ctx context.Context) ([]byte, error) {
	var data string
	err := eventually(ctx, time.Minute, "the manager publishes its authority", func() (bool, error) {
		list, err := m.cluster.core.CoreV1().ConfigMaps(systemNamespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=fairlead-ca"})
		if err != nil || len(list.Items) == 0 {
			return false, err
		}
		data = list.Items[0].Data["ca.crt"]
		return data != "", nil
	})
	return []byte(data), err
}

// metric returns the sum of the manager's series of that name that have the label, such as `name="objects"`; "" stands for any.
func (m *manager) metric(ctx context.Context, name, label string) (float64, error) {
	body, err := get(ctx, "http://"+m.metrics+"/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		series, value, ok := cutLast(strings.TrimSuffix(line, "\n"), " ")
		base, labels, _ := strings.Cut(series, "{")
		if !ok || base != name || !strings.Contains(labels, label) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the manager has no metric %s{%s}", name, label)
	}
	return sum, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// freePorts returns n addresses that nobody listens on.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}
