package agent

import "fairlead.dev/fairlead/internal/policy"

// untraced makes a notice for each policy that asks for traces of an agent that has nowhere to send them, naming one pod.
func untraced(s *policy.Snapshot) []policy.CaptureProblem {
	asking := map[string][]policy.ID{} // by profile
	for name, p := range s.Profiles {
		for i := range p.Bindings {
			if b := &p.Bindings[i]; b.Mode == policy.ModeEnforce && asksForTraces(b) {
				asking[name] = append(asking[name], b.Policy)
			}
		}
	}
	if len(asking) == 0 {
		return nil
	}
	of := map[string][]policy.ID{} // by pod
	for uid, w := range s.Workloads {
		if ids := asking[w.Profile]; len(ids) > 0 {
			of[uid] = ids
		}
	}
	return onePodEach(of, s.Workloads, policy.NoticeNoTraceExporter,
		"its calls are not traced, since the node's agent has nowhere to send spans: set OTEL_EXPORTER_OTLP_ENDPOINT there")
}

func asksForTraces(b *policy.Binding) bool {
	for i := range b.Rules {
		if b.Rules[i].Settings.Tracing != nil {
			return true
		}
	}
	return b.Base.Tracing != nil
}
