package monitoring

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Prometheus is one that runs.
type Prometheus struct {
	base   string
	client *http.Client
}

// settings are what it is configured with, but for what it scrapes: short intervals, so that tests need not wait.
const settings = `
global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [rules.yaml]
`

// listening is the line with which it says where it can be asked.
var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// Start runs a Prometheus with the rules of config/monitoring until the test ends. It scrapes what the section scrape_configs of its configuration says, and
// nothing may be missing on the machine where nothing may be skipped.
func Start(t testing.TB, interval time.Duration, scrapeConfigs string) *Prometheus {
	t.Helper()
	program := Need(t, "prometheus")
	dir := t.TempDir()
	_, ruleFile := readRules(t)
	check(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), ruleFile, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(fmt.Sprintf(settings, interval)+scrapeConfigs), 0o600))
	cmd := exec.Command(program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", //nolint:gosec,noctx // Debian's; it ends below
		"--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage")
	cmd.Dir = dir
	log, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	p := &Prometheus{client: &http.Client{Transport: &http.Transport{}}}
	lines := bufio.NewScanner(log)
	said := ""
	for p.base == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			p.base = "http://" + m[1]
		}
	}
	read := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, log); close(read) }()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	if p.base == "" {
		t.Fatalf("Prometheus does not listen:\n%s", said)
	}
	return p
}

// Need returns the path of a program. Without it the test is skipped, or fails where nothing may be skipped.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatalf("there is no %s, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped", program)
	}
	t.Skipf("NOT RUN: there is no %s: make test-deps", program)
	return ""
}

// Await calls f until it finds nothing wrong.
func Await(t testing.TB, f func() error) {
	t.Helper()
	const most = time.Minute
	late := time.After(most)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("after %v: %v", most, err)
		}
	}
}

// get asks the API for something.
func (p *Prometheus) get(path string, values url.Values, into any) error {
	r, err := p.client.Get(p.base + "/api/v1/" + path + "?" + values.Encode()) //nolint:noctx // of this machine
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, r.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// Sample is one series of an answer, as it is now.
type Sample struct {
	Metric map[string]string
	Value  float64
}

// Query returns what an expression is now.
func (p *Prometheus) Query(expr string) ([]Sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var out []Sample
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expr, err)
		}
		out = append(out, Sample{r.Metric, v})
	}
	return out, nil
}

// Shows returns what is wrong with a query's answer: it cannot be asked, or shows nothing that is a number.
func (p *Prometheus) Shows(q Query) error {
	found, err := p.Query(q.Expr)
	if err != nil {
		return fmt.Errorf("%s: %w", q.Panel, err)
	}
	for _, s := range found {
		if !math.IsNaN(s.Value) {
			return nil
		}
	}
	return fmt.Errorf("%s shows no data: %s: %v", q.Panel, q.Expr, found)
}

// Rules returns what is wrong with the rules: one was not evaluated, or could not be. n is how many there are.
func (p *Prometheus) Rules() (n int, err error) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("rules", nil, &data); err != nil {
		return 0, err
	}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				return n, fmt.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	return n, nil
}

// Exemplars returns the traces that the exemplars of an expression name.
func (p *Prometheus) Exemplars(expr string) (traces []string, err error) {
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	err = p.get("query_exemplars", url.Values{
		"query": {expr}, "start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)}, "end": {strconv.FormatInt(now.Add(time.Hour).Unix(), 10)},
	}, &data)
	for _, series := range data {
		for _, e := range series.Exemplars {
			traces = append(traces, e.Labels["trace_id"])
		}
	}
	return traces, err
}
