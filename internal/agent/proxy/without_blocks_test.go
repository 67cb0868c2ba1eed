package proxy

import (
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

func hedging(reset func(*policy.Hedging)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if s.Retry.Hedging.Max > 0 {
			reset(&s.Retry.Hedging)
		}
	})
}

func fallback(reset func(*policy.Fallback)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if s.Fallback != nil {
			reset(s.Fallback)
		}
	})
}

func backup(reset func(*policy.Fallback)) func(*policy.Binding) {
	return fallback(func(f *policy.Fallback) {
		if f.Destination != nil {
			reset(f)
		}
	})
}

func faults(reset func(*policy.Faults)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if s.Faults != nil {
			reset(s.Faults)
		}
	})
}

func adaptive(reset func(a, d *policy.Adaptive)) func(*policy.Binding) {
	return settings(func(s, _ *policy.Settings) {
		if d := policy.DefaultAdaptive(); s.Timeouts.Adaptive.On() {
			reset(&s.Timeouts.Adaptive, &d)
		}
	})
}

func withoutFieldValues(f *policy.Fallback) {
	for i := range f.Response.Headers {
		f.Response.Headers[i].Value = ""
	}
}

func rules(reset func(*policy.Rule)) func(*policy.Binding) {
	return func(b *policy.Binding) {
		for i := range b.Rules {
			reset(&b.Rules[i])
		}
	}
}

func matches(reset func(*policy.RequestMatch)) func(*policy.Binding) {
	return rules(func(r *policy.Rule) {
		for i := range r.Match {
			reset(&r.Match[i])
		}
	})
}

// withoutPart leaves out the service of a gRPC match, or the method.
func withoutPart(m *policy.RequestMatch, part int) {
	if m.PathType == policy.PathGRPC {
		names := strings.SplitN(m.Path, "/", 2)
		names[part] = "*"
		m.Path = strings.Join(names, "/")
	}
}

func withoutPath(m *policy.RequestMatch) {
	if m.PathType != policy.PathGRPC {
		m.PathType, m.Path = policy.PathAny, ""
	}
}

func withoutPathType(m *policy.RequestMatch) {
	if m.PathType != policy.PathAny && m.PathType != policy.PathGRPC {
		m.PathType = policy.PathPrefix
	}
}
