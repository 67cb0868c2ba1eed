package diff

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/policy"
)

// otherwise are settings that are compared in another way.
var otherwise = map[string]string{
	".Retry.Hedging.Delay": "instead of the percentile it is another field, which is compared if a policy sets it",
	".Faults.Abort":        "without one there is no field, which is compared if a policy has set it",
	".RateLimit.Shared":    "a name that is made of what is compared",
}

// Whatever changes of what an agent goes by is shown, be it as another field.
func TestEverySettingIsCompared(t *testing.T) {
	leaves := 0
	full := settings()
	each(reflect.ValueOf(&full).Elem(), "", func(path string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		before := inForce(settings())
		if !change(v) {
			t.Errorf("%s cannot be changed here: a %s", path, v.Type())
			return
		}
		after := inForce(full)
		if leaves++; len(comparePod(before, after)) == 0 == (otherwise[path] == "") {
			t.Errorf("%s changes, and what is shown is %v", path, comparePod(before, after))
		}
		v.Set(old)
	})
	if leaves < 80 {
		t.Errorf("%d settings were changed", leaves)
	}
}

func inForce(s policy.Settings) *effective.InForce {
	return &effective.InForce{Profile: &policy.Profile{Bindings: []policy.Binding{{To: policy.Target{Kind: policy.TargetAny}, Base: s}}}}
}

// settings have every block.
func settings() policy.Settings {
	s := policy.Defaults()
	s.Timeouts.Adaptive = policy.DefaultAdaptive()
	s.Timeouts.Adaptive.Min, s.Timeouts.Adaptive.Max = time.Second, 2*time.Second
	s.Retry.Hedging = policy.DefaultHedging()
	s.Retry.Hedging.Max, s.Retry.Hedging.Percentile = 1, 90
	s.Retry.Backoff.Jitter = policy.JitterProportional
	s.Retry.Overrides = []policy.RetryOverride{{MaxRetries: 1}}
	b := policy.DefaultBreaker()
	e, c := policy.DefaultErrorRate(), policy.DefaultSlowCalls()
	b.ErrorRate, b.SlowCalls, b.ConsecutiveFailures = &e, &c, 5
	c.Threshold = time.Second
	l, n := policy.DefaultRateLimit(), policy.DefaultConcurrency()
	l.Requests, l.MaxWait, n.Max = 1, time.Second, 1
	tracing := policy.DefaultTracing()
	s.Breaker, s.RateLimit, s.Concurrency, s.Tracing = &b, &l, &n, &tracing
	s.Fallback = &policy.Fallback{Response: &policy.FallbackResponse{Status: 200, Headers: []policy.HeaderField{{Name: "a", Value: "b"}}}}
	s.Faults = &policy.Faults{Percent: 1, Until: 1, Delay: time.Second, Abort: policy.FaultResponse, Status: 503}
	s.Pool.PingInterval, s.Pool.PingTimeout = time.Second, time.Second
	return s
}

// each calls f with every setting that is one value.
func each(v reflect.Value, path string, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			each(v.Elem(), path, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			each(v.Field(i), fmt.Sprintf("%s.%s", path, v.Type().Field(i).Name), f)
		}
	case reflect.Slice:
		f(path, v)
		for i := range v.Len() {
			each(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	default:
		f(path, v)
	}
}

func change(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1e9)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() ^ 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	default:
		return false
	}
	return true
}
