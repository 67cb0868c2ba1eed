package effective

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"fairlead.dev/fairlead/internal/policy"
)

func number(n int) string { return strconv.Itoa(n) }

func factor(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func atMost(n int) string {
	if n == 0 {
		return unlimited
	}
	return number(n)
}

// limit shows a duration as the API writes it: 1m30s, 250ms; 0 is none.
func limit(d time.Duration) string {
	if d == 0 {
		return none
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func bytes(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

func list(names []string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func statuses(ranges []policy.StatusRange) string {
	var out []string
	for _, r := range ranges {
		text, err := r.MarshalText()
		if err != nil { // it never is
			continue
		}
		out = append(out, string(text))
	}
	return list(out)
}

func grpcStatuses(codes []policy.GRPCStatus) string {
	var out []string
	for _, c := range codes {
		out = append(out, c.String())
	}
	return list(out)
}

func headers(matches []policy.HeaderMatch) string {
	var out []string
	for _, h := range matches {
		if h.Value == "" {
			out = append(out, h.Name)
		} else {
			out = append(out, h.Name+": "+h.Value)
		}
	}
	return list(out)
}

// overrides shows what is retried in another way: "RateLimited → 1 retry after 2s".
func overrides(all []policy.RetryOverride) string {
	var out []string
	for _, o := range all {
		what := o.On.Names()
		if len(o.StatusCodes) > 0 {
			what = append(what, statuses(o.StatusCodes))
		}
		if len(o.GRPCStatuses) > 0 {
			what = append(what, grpcStatuses(o.GRPCStatuses))
		}
		out = append(out, fmt.Sprintf("%s: %d retries, %s from %s to %s", strings.Join(what, ", "), o.MaxRetries, o.Backoff.Strategy, limit(o.Backoff.Initial), limit(o.Backoff.Max)))
	}
	if len(out) == 0 {
		return none
	}
	return strings.Join(out, "; ")
}

// portsOf shows the ports of a target, ":80" or ":80,443", or nothing for all.
func portsOf(t *policy.Target) string {
	var ports []string
	for _, p := range t.Ports {
		ports = append(ports, strconv.Itoa(int(p)))
	}
	if len(ports) == 0 {
		return ""
	}
	return ":" + strings.Join(ports, ",")
}

// TargetName shows a target with its ports.
func TargetName(t *policy.Target) string { return t.String() + portsOf(t) }
