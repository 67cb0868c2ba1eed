package steps

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// Filter says which call is wanted. The zero Filter wants the next one of whatever pod.
type Filter struct {
	// Namespace, Pod (a name) and Workload (a name, or kind/name) say whose.
	Namespace, Pod, Workload string
	// Policy governs it: namespace/name, or the name of a ClusterRetryPolicy.
	Policy string
	// Host is a host or an address, without a port, or *.suffix.
	Host string
	// Method is the request's. Path is its path without query and fragment, or, with * at its end, what that begins with.
	Method, Path string
	// Header is the name of a field that the request has, or name=value. Of a value only the whole can be asked for, and none that may be a secret by its name.
	Header string
	// Mark is what the request is marked with, if it is made to be traced. Port is the pod's port that it comes from, by which its connection is known where it
	// is passed through, so that nothing of the request is seen; 0: none.
	Mark string
	Port uint16
}

// maxMark bounds a mark.
const maxMark = 64

// secret are what names of fields have in them whose values are not compared: who may see calls may not find out what they authenticate with.
var secret = [...]string{ //nolint:gochecknoglobals // a table that is never written to
	"key", "token", "secret", "auth", "pass", "session", "cookie", "csrf", "credential", "signature",
}

// matcher is a filter that was compiled. It is immutable.
type matcher struct {
	Filter
	host        *taps.HostMatch
	policy      policy.ID
	name, value string // of Header, the name in lower case
	hasValue    bool
}

func (f *Filter) compile() (*matcher, error) {
	m := &matcher{Filter: *f, policy: policy.ParseID(f.Policy)}
	var err error
	if m.host, err = taps.NewHostMatch(f.Host); err != nil {
		return nil, err
	}
	if f.Path != "" && !strings.HasPrefix(f.Path, "/") {
		return nil, fmt.Errorf("path is %s; write one that begins with /, with * at its end for those below it", liveapi.Quote(f.Path))
	}
	if strings.ContainsAny(f.Path, "?#") {
		return nil, errors.New("path has a query or a fragment; write the path alone")
	}
	if len(f.Mark) > maxMark {
		return nil, fmt.Errorf("mark has %d bytes; %d are possible", len(f.Mark), maxMark)
	}
	if m.Port != 0 && m.Mark == "" {
		return nil, errors.New("port is given without a mark; it is for a call that is made to be traced")
	}
	m.name, m.value, m.hasValue = strings.Cut(f.Header, "=")
	m.name = strings.ToLower(m.name)
	if m.hasValue {
		for _, s := range secret {
			if strings.Contains(m.name, s) {
				return nil, fmt.Errorf("the value of %s cannot be asked for, since it may be a secret: its name has %q in it; write the name alone", liveapi.Quote(m.name), s)
			}
		}
	}
	return m, nil
}

// wants reports whether a call is wanted, by what needs no look-up.
func (m *matcher) wants(w *drive.Watchable) bool {
	v := w.View
	if m.Mark != "" && !m.marked(w) {
		return false
	}
	return (m.Policy == "" || w.Route.Source().Policy == m.policy) && (m.Method == "" || strings.EqualFold(m.Method, string(v.Method()))) &&
		m.wantsPath(v.Target()) && m.host.Matches(v.Host(), w.Client.Original.Addr()) && m.wantsHeader(w)
}

// marked reports whether a request has the mark, or a connection that is passed through comes from the port.
func (m *matcher) marked(w *drive.Watchable) bool {
	if mark, ok := w.View.Header(liveapi.TraceField); ok {
		return string(mark) == m.Mark
	}
	return m.Port != 0 && len(w.View.Method()) == 0 && w.Client.Conn.RemoteAddr().Port() == m.Port
}

func (m *matcher) wantsPath(target []byte) bool {
	if m.Path == "" {
		return true
	}
	target = routes.PathOf(target)
	if prefix, below := strings.CutSuffix(m.Path, "*"); below {
		return bytes.HasPrefix(target, []byte(prefix))
	}
	return string(target) == m.Path
}

func (m *matcher) wantsHeader(w *drive.Watchable) bool {
	if m.name == "" {
		return true
	}
	value, ok := w.View.Header(m.name)
	return ok && (!m.hasValue || string(value) == m.value)
}

// wantsCaller reports whether the call of a pod is wanted, given its names.
func (m *matcher) wantsCaller(pod, workload string) bool {
	namespace, name, _ := strings.Cut(pod, "/")
	_, owner, _ := strings.Cut(workload, "/")
	return (m.Namespace == "" || m.Namespace == namespace) && (m.Pod == "" || m.Pod == name) &&
		(m.Workload == "" || m.Workload == workload || m.Workload == owner)
}
