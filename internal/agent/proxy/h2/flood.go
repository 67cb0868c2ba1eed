package h2

import (
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// floods are the errors that are counted by kind.
var floods = map[http2.Reason]drive.Flood{
	http2.ReasonFloodReset:        drive.FloodReset,
	http2.ReasonFloodContinuation: drive.FloodContinuation,
	http2.ReasonFloodPing:         drive.FloodPing,
	http2.ReasonFloodSettings:     drive.FloodSettings,
	http2.ReasonFloodEmptyData:    drive.FloodEmptyData,
	http2.ReasonFloodWindowUpdate: drive.FloodWindowUpdate,
	http2.ReasonFloodPriority:     drive.FloodPriority,
	http2.ReasonFloodOther:        drive.FloodOther,
	http2.ReasonListTooLarge:      drive.FloodHeaderList,
	http2.ReasonBlockTooLarge:     drive.FloodHeaderList,
	http2.ReasonHeadTimeout:       drive.FloodSlowHeader,
}

// countFlood counts an error of a peer if it has done too much of something.
func (d *Driver) countFlood(from drive.Side, bad *http2.Error) {
	f, ok := floods[bad.Reason]
	switch {
	case ok:
		d.Flooded(from, f)
	case bad.Code == http2.FlowControlError:
		d.Flooded(from, drive.FloodWindow)
	}
}
