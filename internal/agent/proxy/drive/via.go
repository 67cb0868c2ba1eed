package drive

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/connectproxy"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// detailOfProxy says what a proxy did.
func detailOfProxy(err error, otherwise routes.Detail) routes.Detail {
	var refused *connectproxy.Refused
	switch {
	case errors.Is(err, connectproxy.ErrCredentials):
		return routes.DetailProxyNoCredentials
	case errors.Is(err, connectproxy.ErrHost):
		return routes.DetailProxyRefused
	case errors.Is(err, connectproxy.ErrMalformed):
		return routes.DetailProxyMalformed
	case !errors.As(err, &refused):
		return otherwise
	case refused.Unauthorized():
		return routes.DetailProxyUnauthorized
	case refused.Unreachable():
		return routes.DetailProxyUnreachable
	}
	return routes.DetailProxyRefused
}
