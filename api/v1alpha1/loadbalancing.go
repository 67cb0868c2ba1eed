package v1alpha1

// LoadBalancing picks among the endpoints of a service.
type LoadBalancing struct {
	// policy says how an endpoint is picked, among those that the Service's
	// internalTrafficPolicy and trafficDistribution leave to the pod's node.
	// Defaults to LeastRequest. A pod keeps its endpoint of a Service with
	// sessionAffinity ClientIP, whatever is written here but ClusterIP;
	// status.destinations.notEnforced says so.
	// +optional
	Policy LoadBalancingPolicy `json:"policy,omitempty"`
}

// LoadBalancingPolicy says how an endpoint is picked.
// +kubebuilder:validation:Enum=LeastRequest;RoundRobin;Random;ClusterIP
type LoadBalancingPolicy string

const (
	// LoadBalancingLeastRequest picks the less busy of two random endpoints. A
	// failed call and a 429 weigh as if the call went on for some seconds.
	LoadBalancingLeastRequest LoadBalancingPolicy = "LeastRequest"
	// LoadBalancingRoundRobin takes endpoints in turn.
	LoadBalancingRoundRobin LoadBalancingPolicy = "RoundRobin"
	// LoadBalancingRandom picks at random.
	LoadBalancingRandom LoadBalancingPolicy = "Random"
	// LoadBalancingClusterIP leaves the choice to the cluster. It chooses for
	// each connection: as connections are kept for further calls, one endpoint
	// serves many in a row. A retry takes a new connection, which may lead to
	// the same endpoint.
	LoadBalancingClusterIP LoadBalancingPolicy = "ClusterIP"
)
