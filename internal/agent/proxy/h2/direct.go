package h2

import (
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// direct returns the connections to where the client wanted to go, of its own, for streams that no policy governs; nil: there can be none.
func (s *Session) direct() *upstream.Pool {
	if s.private == nil {
		s.private, _ = upstream.NewPool(upstream.Options{ // fails only without a dialer, when the pod has ended
			Cluster: upstream.NewCluster(upstream.Balancing{Policy: policy.ClusterIP}, nil),
			Dialer:  s.client.Table.Dialer(s.client.Pod),
			Limits:  policy.Defaults().Pool,
		})
	}
	return s.private
}
