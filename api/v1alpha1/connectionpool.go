package v1alpha1

// ConnectionPool bounds and keeps the connections of one pod to one destination.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxConnections) || !has(self.maxConnectionsPerEndpoint) || self.maxConnectionsPerEndpoint <= self.maxConnections",fieldPath=".maxConnectionsPerEndpoint",message="maxConnectionsPerEndpoint must not be above maxConnections"
// +kubebuilder:validation:XValidation:rule="!has(self.maxIdlePerEndpoint) || !has(self.maxConnectionsPerEndpoint) || self.maxIdlePerEndpoint <= self.maxConnectionsPerEndpoint",fieldPath=".maxIdlePerEndpoint",message="maxIdlePerEndpoint must not be above maxConnectionsPerEndpoint"
// +kubebuilder:validation:XValidation:rule="!has(self.maxPending) || self.maxPending == 0 || !has(self.pendingTimeout) || !self.pendingTimeout.matches('^[0hms]+$')",fieldPath=".pendingTimeout",message="pendingTimeout must be longer than 0s; to let no call wait, set maxPending: 0"
type ConnectionPool struct {
	// maxConnections is how many connections may be open at once. Absent means
	// no limit. Tunnels (WebSocket, CONNECT) do not count.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// maxConnectionsPerEndpoint is how many of them may go to one endpoint.
	// Absent means no limit of its own; it never counts above maxConnections.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	MaxConnectionsPerEndpoint *int32 `json:"maxConnectionsPerEndpoint,omitempty"`

	// maxIdlePerEndpoint is how many unused connections to one endpoint are
	// kept. Defaults to 64, and never counts above maxConnectionsPerEndpoint.
	// Set to 0 to keep none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	MaxIdlePerEndpoint *int32 `json:"maxIdlePerEndpoint,omitempty"`

	// idleTimeout is how long an unused connection is kept, or a second less than
	// its server announces (Keep-Alive: timeout), if that is shorter. Defaults to
	// 60s, below common servers' own: a longer one risks sending a request just as
	// the server hangs up.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0hms]+$')",message="idleTimeout must be longer than 0s; to keep no connection, set maxIdlePerEndpoint: 0"
	IdleTimeout Duration `json:"idleTimeout,omitempty"`

	// maxLifetime is how long a connection is used before it is closed at the
	// end of its current call. Absent or 0s means without end.
	// +optional
	MaxLifetime Duration `json:"maxLifetime,omitempty"`

	// maxRequestsPerConnection is how many requests a connection serves
	// before it is closed. Defaults to 0, without end.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	MaxRequestsPerConnection *int32 `json:"maxRequestsPerConnection,omitempty"`

	// maxPending is how many calls may wait for a connection below a limit;
	// further ones are rejected (503, pool_overflow). Defaults to 1024. Set to
	// 0 to let none wait. Without maxConnections and maxConnectionsPerEndpoint
	// no call waits.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	MaxPending *int32 `json:"maxPending,omitempty"`

	// pendingTimeout is how long a call may wait for a connection. Defaults
	// to 1s.
	// +optional
	PendingTimeout Duration `json:"pendingTimeout,omitempty"`

	// tcpKeepAlive sets the kernel's probes for dead connections.
	// +optional
	TCPKeepAlive *TCPKeepAlive `json:"tcpKeepAlive,omitempty"`

	// http2 tunes HTTP/2 connections.
	// +optional
	HTTP2 *HTTP2Pool `json:"http2,omitempty"`
}

// TCPKeepAlive sets the kernel's probes for dead connections.
//
// +kubebuilder:validation:XValidation:rule="!has(self.idle) || self.idle.matches('^[0hms]+$') || !self.idle.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.idle) >= duration('1s')",fieldPath=".idle",message="tcpKeepAlive.idle must be at least 1s, or 0s to send no probes"
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || !self.interval.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.interval) >= duration('1s')",fieldPath=".interval",message="tcpKeepAlive.interval must be at least 1s"
type TCPKeepAlive struct {
	// idle is how long a connection is silent before the first probe, in
	// whole seconds. Defaults to 30s; 0s sends no probes.
	// +optional
	Idle Duration `json:"idle,omitempty"`

	// interval is the time between probes, in whole seconds. Defaults to 10s.
	// +optional
	Interval Duration `json:"interval,omitempty"`

	// probes is how many unanswered probes close the connection. Defaults
	// to 3.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Probes *int32 `json:"probes,omitempty"`
}

// HTTP2Pool tunes HTTP/2 connections.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pingTimeout) || !self.pingTimeout.matches('^[0hms]+$')",fieldPath=".pingTimeout",message="http2.pingTimeout must be longer than 0s"
type HTTP2Pool struct {
	// maxConcurrentStreams is how many calls share a connection, unless the
	// server allows fewer; further ones have another connection made. Defaults
	// to 100.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	MaxConcurrentStreams *int32 `json:"maxConcurrentStreams,omitempty"`

	// pingInterval is how long a connection on which calls wait is silent before
	// it is checked with a PING. Absent or 0s sends none: TCP keep-alive finds
	// peers that are gone, and some servers close connections that are checked
	// more often than every 5 minutes.
	// +optional
	PingInterval Duration `json:"pingInterval,omitempty"`

	// pingTimeout is how long the answer may take before the connection is
	// given up. Defaults to 10s.
	// +optional
	PingTimeout Duration `json:"pingTimeout,omitempty"`
}
