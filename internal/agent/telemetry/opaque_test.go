package telemetry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Connections that are passed through are exposed by what they carry in each direction, those that go on too.
func TestMetricsOfConnectionsThatArePassedThrough(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for _, step := range []struct {
		name           string
		happens        func()
		opened, open   string
		sent, received string
	}{
		{"opened", func() { r.OpaqueOpened(); r.OpaqueOpened() }, "2", "2", "0", "0"},
		{"one carries", func() { r.OpaqueMoved(3, 500) }, "2", "2", "3", "500"},
		{"it carries more", func() { r.OpaqueMoved(0, 40) }, "2", "2", "3", "540"},
		{"it ends", func() { r.OpaqueClosed(4, 2) }, "2", "1", "7", "542"},
		{"the other one ends", func() { r.OpaqueClosed(10, 0) }, "2", "0", "17", "542"},
	} {
		step.happens()
		const id = `policy="shop/payments",target="service warehouse/inventory"`
		want := []string{
			`fairlead_proxy_opaque_bytes_total{direction="received",` + id + `} ` + step.received,
			`fairlead_proxy_opaque_bytes_total{direction="sent",` + id + `} ` + step.sent,
			`fairlead_proxy_opaque_connections_total{` + id + `} ` + step.opened,
			`fairlead_proxy_opaque_open_connections{` + id + `} ` + step.open,
		}
		if diff := cmp.Diff(want, scrapeText(t, m, "fairlead_proxy_opaque_")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}
