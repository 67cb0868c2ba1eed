package drive

import (
	"errors"
	"io"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
)

// DetailOf names an error of a connection.
func DetailOf(err error) routes.Detail {
	var errno syscall.Errno
	var secure *tlslayer.Error
	if errors.As(err, &secure) {
		return routes.Detail(secure.Reason)
	}
	if why := inHandshake(err); why != routes.NoDetail {
		return why
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return routes.DetailClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return routes.NoDetail // whoever set the deadline knows which
	case !errors.As(err, &errno):
		return routes.DetailBroken
	}
	switch errno {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return routes.DetailReset
	case syscall.ECONNREFUSED:
		return routes.DetailRefused
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN:
		return routes.DetailUnreachable
	case syscall.ETIMEDOUT: // TCP_USER_TIMEOUT or keep-alive probes
		return routes.DetailNoAnswer
	default:
		return routes.DetailBroken
	}
}

// inHandshake names the end of a connection in its handshake, if that is what an error is.
func inHandshake(err error) routes.Detail {
	var stage *transport.HandshakeError
	switch {
	case !errors.As(err, &stage):
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return routes.DetailClosedInHandshake
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return routes.DetailResetInHandshake
	}
	return routes.NoDetail
}

// DetailOfLimit names a deadline of a call.
func DetailOfLimit(l call.Limit) routes.Detail {
	switch l {
	case call.LimitOverall:
		return routes.DetailOverall
	case call.LimitClient:
		return routes.DetailClientDeadline
	case call.LimitMaxDuration:
		return routes.DetailMaxDuration
	case call.LimitPerTry:
		return routes.DetailPerTry
	case call.LimitAdaptive:
		return routes.DetailAdaptive
	case call.LimitResponseHeader:
		return routes.DetailResponseHeader
	case call.NoLimit:
	}
	return routes.NoDetail
}
