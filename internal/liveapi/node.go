package liveapi

import "time"

// NodeState is what an agent knows of its node and of itself, for who looks for what is wrong.
type NodeState struct {
	Node string `json:"node"`
	// At is the agent's time.
	At time.Time `json:"at"`
	// Version is that of the agent's build, Started when it has started.
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Kernel  Kernel    `json:"kernel"`
	// Runtime is the container runtime, which the agent asks for the node's pods.
	Runtime Runtime    `json:"runtime"`
	Manager Subscribed `json:"manager"`
	// Issuer is what certificates are made with that pods are shown whose TLS is intercepted; left out where there is none.
	Issuer *Issuer `json:"issuer,omitempty"`
	// Unissued are the policies that intercept TLS on the node, which has no issuer that is valid.
	Unissued []string `json:"unissued,omitempty"`
	// Distrusts are the pods that have ended handshakes of late since they do not trust the egress CA.
	Distrusts []Distrust `json:"distrusts"`
}

// Kernel is the kernel of a node.
type Kernel struct {
	Release string `json:"release"`
	// Features are what the agent uses of it, as found by using it in a network namespace made for that; empty where that could not be done, for which
	// Problem says why.
	Features []KernelFeature `json:"features"`
	Problem  string          `json:"problem,omitempty"`
}

// KernelFeature is something that the agent uses of the kernel.
type KernelFeature struct {
	// Module is the module that has it, where it is not built in; For is what it is used for.
	Module string `json:"module"`
	For    string `json:"for"`
	// Needed: without it no pod is captured. Otherwise only what it is for is missing.
	Needed bool `json:"needed,omitempty"`
	Works  bool `json:"works"`
	// Loaded: the module is among those that are loaded. It works without where it is built in.
	Loaded  bool   `json:"loaded,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Runtime is a container runtime.
type Runtime struct {
	// Socket is where the agent asks it.
	Socket  string `json:"socket"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	// Sandboxes are those that run, of whatever pod.
	Sandboxes int `json:"sandboxes"`
	// Problem says why it could not be asked.
	Problem string `json:"problem,omitempty"`
}

// Subscribed is how an agent stands with the manager.
type Subscribed struct {
	Connected bool `json:"connected"`
	// Since is when that began; Problem is why there is no connection.
	Since   time.Time `json:"since,omitzero"`
	Problem string    `json:"problem,omitempty"`
	// Source is where the policies in force come from: manager, disk, or none.
	Source string `json:"source"`
}

// Issuer is an issuer of certificates.
type Issuer struct {
	// NotBefore and NotAfter are when it may be used: when its certificate and all those above it that the node has are valid.
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// Distrust is a pod that does not trust the egress CA, at one host.
type Distrust struct {
	Pod      string   `json:"pod"`
	Host     string   `json:"host"`
	Policies []string `json:"policies"`
	// Handshakes are those that it has ended. PassedThrough: by now its connections to the host are passed through.
	Handshakes    int  `json:"handshakes"`
	PassedThrough bool `json:"passedThrough,omitempty"`
}
