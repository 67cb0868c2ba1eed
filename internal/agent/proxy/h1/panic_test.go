package h1

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

func TestAPanicOfTheStreamIsTheSessionsOwn(t *testing.T) {
	for name, mistake := range map[string]func(*attempt){
		"in reading: nobody to read the body from":           func(a *attempt) { a.sent, a.x.s = 1, nil },
		"in writing, for which it has the lock: no settings": func(a *attempt) { a.x.Plan.Settings = nil },
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := transporttest.Pair(t)
			settings := policy.Defaults()
			x := newExchange(New(Options{}))
			x.Plan = &routes.Plan{Plan: call.Plan{Settings: &settings}}
			a := &x.attempts[0]
			a.Lease.Conn = &upstream.Conn{Conn: conn}
			defer func() {
				if what, stack := panics.Cause(recover()); what == nil || len(stack) == 0 {
					t.Errorf("got %v", what)
				}
			}()
			r := http1.NewReader(strings.NewReader("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"))
			if err := r.ReadRequest(&x.request); err != nil {
				t.Fatal(err)
			}
			r.Body(&x.upload.body, &x.request.Head)
			mistake(a)
			a.startStream()
			a.joinStream()
			t.Errorf("no panic, %v", a.err)
		})
	}
}
