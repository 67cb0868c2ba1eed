package liveapi

// What agents answer.
const (
	PoliciesPath  = "/debug/v1/policies"
	BreakersPath  = "/debug/v1/breakers"
	EndpointsPath = "/debug/v1/endpoints"
	LimitsPath    = "/debug/v1/limits"
	CapturePath   = "/debug/v1/capture"
	NodePath      = "/debug/v1/node"
	TapPath       = "/debug/v1/tap"
	TracePath     = "/debug/v1/trace"
)

// What the manager that leads answers.
const (
	InventoryPath = "/debug/v1/inventory"
	TrafficPath   = "/debug/v1/traffic"
	NodesPath     = "/debug/v1/nodes"
	ChangesPath   = "/debug/v1/changes"
	ManagerPath   = "/debug/v1/manager"
)
