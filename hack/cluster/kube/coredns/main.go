// Command coredns is CoreDNS with only the plugins a small, closed cluster needs. It must not
// forward queries anywhere: the test cluster has no network beyond itself.
package main

import (
	"github.com/coredns/coredns/coremain"

	// Plugins register themselves with CoreDNS when imported.
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	coremain.Run()
}
