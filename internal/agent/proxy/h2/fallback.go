package h2

import (
	"fairlead.dev/fairlead/internal/agent/routes"
)

// fallBack has the attempts that follow go to where the call falls back on.
func (x *stream) fallBack() {
	r := x.plan.Backup
	x.onFallback = true
	x.governing, x.pool, x.secured, x.to = r, r.Pool, r.Secured(), r.Address(x.s.client.Original.Addr())
}

// keepsAddress reports whether an attempt goes to the address that the client chose.
func (x *stream) keepsAddress() bool { return x.pinned && !x.onFallback }

// attemptRecorder counts the attempts.
func (x *stream) attemptRecorder() routes.Recorder {
	if x.onFallback {
		return x.governing.Recorder()
	}
	return x.recorder
}

// authority is what an attempt names as its host; empty: what the client does.
func (x *stream) authority() string {
	if !x.onFallback || string(x.head.Method()) == "CONNECT" && len(x.head.Protocol()) == 0 { // which names where the tunnel leads to
		return ""
	}
	return x.governing.Authority()
}
