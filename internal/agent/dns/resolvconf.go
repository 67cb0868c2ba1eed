package dns

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strings"
)

// maxServers is how many name servers of a resolv.conf count (resolv.conf(5)).
const maxServers = 3

// readServers reads the name servers from a file in the form of resolv.conf(5).
func readServers(path string) ([]netip.AddrPort, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return parseServers(f)
}

func parseServers(r io.Reader) (servers []netip.AddrPort, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	return servers, lines.Err()
}
