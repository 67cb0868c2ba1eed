package agent

import (
	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// The dialer that capture gives to the routes also says to the proxy whether a client that has ended its side is still there.
var _ drive.ClientFinder = (*capture.PodDialer)(nil)
