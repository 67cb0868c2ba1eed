package proxy

import (
	"errors"
	"io"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/store"
)

// kindOf says what an error in reading a response means.
func kindOf(err error) (call.Kind, store.Detail) {
	var broken *http1.Error
	if errors.As(err, &broken) {
		return call.BadResponse, store.Detail(broken.Error())
	}
	return call.Reset, detailOf(err)
}

// detailOf names an error of a connection.
func detailOf(err error) store.Detail {
	var errno syscall.Errno
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return store.DetailClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return store.NoDetail // whoever set the deadline knows which
	case !errors.As(err, &errno):
		return store.DetailBroken
	}
	switch errno {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return store.DetailReset
	case syscall.ECONNREFUSED:
		return store.DetailRefused
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN:
		return store.DetailUnreachable
	case syscall.ETIMEDOUT: // TCP_USER_TIMEOUT or keep-alive probes
		return store.DetailNoAnswer
	default:
		return store.DetailBroken
	}
}

// detailOfLimit names a deadline of a call.
func detailOfLimit(l call.Limit) store.Detail {
	switch l {
	case call.LimitOverall:
		return store.DetailOverall
	case call.LimitClient:
		return store.DetailClientDeadline
	case call.LimitMaxDuration:
		return store.DetailMaxDuration
	case call.LimitPerTry:
		return store.DetailPerTry
	case call.LimitResponseHeader:
		return store.DetailResponseHeader
	case call.NoLimit:
	}
	return store.NoDetail
}
