package compile

import (
	"fmt"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Service is what compiling needs to know of a Service.
type Service struct {
	Ports []ServicePort
	// External says that it is a name for something elsewhere, without addresses of its own (type ExternalName).
	External bool
	// Affinity says that a pod keeps its endpoint (sessionAffinity: ClientIP), whatever loadBalancing.policy says.
	Affinity bool
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Name string
	Port uint16
}

// UnenforcedForService lists the fields of src that do not hold for calls to d, because its Service has pods keep their endpoints. If that is
// so and src writes nothing about the choice, there is a sentence to say so instead.
func UnenforcedForService(src *Source, d *Destination, svc *Service) ([]UnenforcedField, string) {
	if svc == nil || !svc.Affinity {
		return nil, ""
	}
	switch loadBalancingWritten(src) {
	case "":
		return nil, fmt.Sprintf("Each pod keeps its endpoint of %s, as its sessionAffinity asks.", d.Service)
	case v1alpha1.LoadBalancingClusterIP: // the cluster keeps them
		return nil, ""
	case v1alpha1.LoadBalancingLeastRequest, v1alpha1.LoadBalancingRoundRobin, v1alpha1.LoadBalancingRandom:
	}
	return []UnenforcedField{{src.field("loadBalancing.policy"), v1alpha1.ReasonServiceAffinity, d.Index}}, ""
}

func loadBalancingWritten(src *Source) v1alpha1.LoadBalancingPolicy {
	if src.Body == nil || src.Body.LoadBalancing == nil {
		return ""
	}
	return src.Body.LoadBalancing.Policy
}
