package nft_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

func BenchmarkRenew(b *testing.B) {
	table := open(b, netnstest.New(b, netnstest.Host(b)), options("bench"))
	install(b, table, intent.Redirect{Ports: []uint16{80}})
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Renew(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInstallOneMoreAddress(b *testing.B) {
	table := open(b, netnstest.New(b, netnstest.Host(b)), options("bench"))
	two := intent.Redirect{Addrs: addrs("10.0.0.1:80", "10.0.0.2:80")}
	three := intent.Redirect{Addrs: addrs("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")}
	install(b, table, two)
	b.ReportAllocs()
	for b.Loop() {
		two, three = three, two
		if err := table.Install(two); err != nil {
			b.Fatal(err)
		}
	}
}
