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
	// Affinity says that a pod keeps its endpoint (sessionAffinity: ClientIP). Agents leave the choice to the cluster then.
	Affinity bool
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Name string
	Port uint16
}

// UnenforcedForService lists the fields of src that do not hold for an entry of to, because the cluster picks the endpoints of its Service. If
// that is so and src writes nothing about the choice, there is no gap but a sentence to say so.
func UnenforcedForService(src *Source, d *Destination, svc *Service) ([]UnenforcedField, string) {
	if svc == nil || !svc.Affinity {
		return nil, ""
	}
	var fields []string
	lb := loadBalancingWritten(src)
	if lb != "" && lb != v1alpha1.LoadBalancingClusterIP {
		fields = append(fields, "loadBalancing.policy")
	}
	if src.Body != nil {
		avoids := func(prefix string, r *v1alpha1.Retry) {
			if r != nil && r.AvoidPreviousEndpoints != nil && *r.AvoidPreviousEndpoints {
				fields = append(fields, prefix+"retry.avoidPreviousEndpoints")
			}
		}
		avoids("", src.Body.Retry)
		for i := range src.Body.Rules {
			avoids(fmt.Sprintf("rules[%s].", src.Body.Rules[i].Name), src.Body.Rules[i].Retry)
		}
	}
	var gaps []UnenforcedField
	for _, f := range fields {
		gaps = append(gaps, UnenforcedField{src.field(f), v1alpha1.ReasonServiceAffinity, d.Index})
	}
	if len(gaps) > 0 || lb != "" {
		return gaps, ""
	}
	return nil, fmt.Sprintf("The cluster picks the endpoints of %s, as its sessionAffinity asks.", d.Service)
}

func loadBalancingWritten(src *Source) v1alpha1.LoadBalancingPolicy {
	if src.Body == nil || src.Body.LoadBalancing == nil {
		return ""
	}
	return src.Body.LoadBalancing.Policy
}
