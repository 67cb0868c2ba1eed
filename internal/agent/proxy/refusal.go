package proxy

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/store"
)

// refused tells of a request that was refused with a status. q is its head if that could be read; nil: it could not.
func (s *session) refused(status int, why error, q *http1.Request) {
	r := store.Refusal{Pod: s.pod, Original: s.original, Status: status, Detail: detailOf(why)}
	var broken *http1.Error
	if errors.As(why, &broken) {
		r.Detail = store.Detail(broken.Error())
	}
	if q != nil {
		r.Method, r.Host, r.Path = q.Method(), q.Host(), q.Target()
	}
	s.srv.events.Refused(&r)
}
