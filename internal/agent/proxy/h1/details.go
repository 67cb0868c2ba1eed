package h1

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
)

// kindOf says what an error in reading a response means.
func kindOf(err error) (call.Kind, routes.Detail) {
	var broken *http1.Error
	if errors.As(err, &broken) {
		return call.BadResponse, routes.Detail(broken.Error())
	}
	if errors.Is(err, http1.ErrMemory) {
		return call.Reset, routes.DetailMemory
	}
	var secure *tlslayer.Error
	if errors.As(err, &secure) && secure.Refused() {
		return call.TLSFailed, drive.DetailOf(err)
	}
	return call.Reset, drive.DetailOf(err)
}
