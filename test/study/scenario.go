package main

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// scenario is a policy that the upstream's callers have.
type scenario struct {
	name   string   // in figures and tables
	file   string   // in files
	blocks []string // what the policy writes besides the timeouts, in YAML
}

// The blocks of scenarios.
const (
	timeouts  = `timeouts: {perTry: 1s, overall: 5s}`
	retries   = `retry: {maxRetries: 3, when: [PerTryTimeout, ServerError]}`
	unbounded = `retry: {maxRetries: 3, when: [PerTryTimeout, ServerError], budget: {percent: 100, minRetriesPerSecond: 10000}}`
	breaker   = `circuitBreaker: {errorRate: {percent: 50}}`
	wholeRate = `rateLimit: {requests: 400, scope: Cluster}`
	lowerRate = `rateLimit: {requests: 360, burst: 90, scope: Cluster}`
	adaptive  = `concurrency: {adaptive: {}, scope: Node}`
)

// scenarios are those of the study, in the order in which they are shown.
func scenarios() []scenario {
	return []scenario{
		{"no retries", "no-retries", nil},
		{"naive retries", "naive", []string{unbounded}},
		{"retry budget", "budget", []string{retries}},
		{"budget + breaker", "breaker", []string{retries, breaker}},
		{"budget + rate limit 400", "rate-limit-400", []string{retries, wholeRate}},
		{"budget + rate limit 360", "rate-limit-360", []string{retries, lowerRate}},
		{"budget + adaptive limit", "adaptive", []string{retries, adaptive}},
		{"all together", "all", []string{retries, breaker, wholeRate, adaptive}},
	}
}

// settings are what the manager makes of the policy.
func (s *scenario) settings() (*policy.Settings, error) {
	p := v1alpha1.RetryPolicy{}
	p.Namespace, p.Name = "study", s.file
	spec := strings.Join(append([]string{"to: [{host: upstream.example, ports: [80]}]", timeouts}, s.blocks...), "\n")
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		return nil, fmt.Errorf("policy of %s: %w", s.name, err)
	}
	services := func(string) (*compile.Service, bool) { return nil, false }
	read, problems := compile.Read(compile.FromRetryPolicy(&p), services, compile.NoReferences)
	if len(problems) > 0 {
		return nil, fmt.Errorf("policy of %s: %s", s.name, problems[0].Message)
	}
	return &compile.Compile(s.file, []*compile.Policy{read}).Bindings[0].Base, nil
}
