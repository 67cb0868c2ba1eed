package conntrack

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

// ForgetStale has the kernel forget TCP connections of the past before it begins to track those of the present. It is for a
// namespace in which nothing of the agent's has the kernel track connections, so that as a rule nothing is tracked there. Two kinds
// would do harm:
//
// Connections that were redirected to port. None is left, or rules would be there, unless the pod has taken them away and the
// connections are served still; but for two minutes the kernel holds their ends for taken, and takes a connection that is open now
// between the same two for another: it gives that another port, which breaks it.
//
// Connections that nobody translates and that no socket in ns has any more. While nothing was tracked their end was missed. The kernel
// would go on believing in them for days, and never ask the rules about another connection between the same two ports.
func ForgetStale(ns *netns.Namespace, port uint16) error {
	known, err := list(ns)
	if err != nil || len(known) == 0 {
		return err
	}
	alive, err := sockdiag.Flows(ns)
	if err != nil {
		return err
	}
	var deletions []netlink.Message
	for _, e := range known {
		_, there := alive[e.flow]
		_, backwards := alive[e.flow.Back()]
		_, served := alive[e.answers]
		redirected := e.translated && !served && e.answers.From.Addr().IsLoopback() && e.answers.From.Port() == port
		if e.tcp && (redirected || !e.translated && !there && !backwards) {
			deletions = append(deletions, request(ctDelete, 0, e.family,
				netlink.Attribute{Type: unix.NLA_F_NESTED | tupleOriginal, Data: e.tuple}, netlink.Attribute{Type: idKind, Data: e.id}))
		}
	}
	return nsnetlink.SendAll(ns, unix.NETLINK_NETFILTER, deletions)
}

// list is what the kernel's tracker knows in ns.
func list(ns *netns.Namespace) ([]entry, error) {
	answers, err := nsnetlink.Execute(ns, unix.NETLINK_NETFILTER, request(ctGet, netlink.Dump, unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("read tracked connections: %w", err)
	}
	entries := make([]entry, len(answers))
	for i, a := range answers {
		if entries[i], err = parse(a.Data); err != nil {
			return nil, fmt.Errorf("read tracked connections: %w", err)
		}
	}
	return entries, nil
}
