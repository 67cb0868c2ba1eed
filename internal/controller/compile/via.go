package compile

import (
	"fmt"
	"net"
	"strconv"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// readVia reads through which proxy a host is called.
func readVia(t target, in *v1alpha1.Via) (target, *Problem) {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled {
		return t, nil
	}
	host, text, err := net.SplitHostPort(in.Proxy)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || host == "" || port == 0 {
		return t, &Problem{v1alpha1.ReasonInvalid, fmt.Sprintf("to[%d].via.proxy %q is not a host and a port such as proxy.example.com:3128.", t.index, in.Proxy)}
	}
	t.Via = policy.Via{Host: host, Port: uint16(port)}
	return t, nil
}

// viaUses lists what the proxy of an entry of to refers to.
func viaUses(src *Source, i int) []use {
	v := src.To[i].Via
	if v == nil || v.Mode == v1alpha1.SwitchDisabled || v.CredentialsRef == nil {
		return nil
	}
	return []use{secretUse(src, fmt.Sprintf("to[%d].via.credentialsRef", i), v.CredentialsRef, policy.ReferenceCredentials)}
}

// readCredentials returns the name of what the proxy of an entry of to is given, and what is wrong with it.
func (p *Policy) readCredentials(i int, find FindReference) (name string, problems []Problem) {
	for _, u := range viaUses(&p.Source, i) {
		name = u.name()
		if _, problem := u.resolve(find); problem != nil {
			problems = append(problems, *problem)
		}
	}
	return name, problems
}

// viaKey tells bindings through different proxies apart: connections through one are not used for another.
func viaKey(v policy.Via) string {
	if v == (policy.Via{}) {
		return ""
	}
	return " via " + net.JoinHostPort(v.Host, strconv.Itoa(int(v.Port)))
}
