package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nsnetlink"
)

// Owner is the agent's run that a table belongs to, and the port it listens on.
type Owner struct {
	Name string
	Port uint16
}

// FindOwner reads who the table in ns belongs to; ok is false when there is no table or it has no owner.
func FindOwner(ns *netns.Namespace) (owner Owner, ok bool, err error) {
	c, err := nsnetlink.Dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return Owner{}, false, err
	}
	defer func() { _ = c.Close() }()
	if owner.Name, err = ownerName(c); err == nil && owner.Name != "" {
		owner.Port, err = ownerPort(c, owner.Name)
	}
	if errors.Is(err, unix.ENOENT) {
		return Owner{}, false, nil
	}
	if err != nil {
		return Owner{}, false, fmt.Errorf("read owner: %w", err)
	}
	return owner, owner.Name != "", nil
}

func ownerName(c *netlink.Conn) (string, error) {
	answers, err := c.Execute(request(unix.NFT_MSG_GETSET, netlink.Dump,
		[]netlink.Attribute{nsnetlink.Text(unix.NFTA_SET_TABLE, tableName)}))
	if err != nil {
		return "", err
	}
	owner := ""
	for _, a := range answers {
		if err := nsnetlink.Fields(a.Data, func(d *netlink.AttributeDecoder) {
			if d.Type() != unix.NFTA_SET_NAME {
				return
			}
			if name, found := strings.CutPrefix(d.String(), ownerPrefix); found {
				owner = name
			}
		}); err != nil {
			return "", err
		}
	}
	return owner, nil
}

func ownerPort(c *netlink.Conn, name string) (port uint16, err error) {
	answers, err := c.Execute(request(unix.NFT_MSG_GETSETELEM, netlink.Dump, setAttrs(ownerPrefix+name, nil)))
	if err != nil {
		return 0, err
	}
	for _, a := range answers {
		if err := eachKey(a.Data, func(key []byte) {
			if len(key) >= 2 {
				port = binary.BigEndian.Uint16(key)
			}
		}); err != nil {
			return 0, err
		}
	}
	return port, nil
}
