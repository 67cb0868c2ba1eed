package drive

// Flood is what a peer has done more of than it may, for which its connection or stream was ended (rule 30). All but FloodHeadMemory are of HTTP/2.
type Flood uint8

// The kinds.
const (
	FloodReset        Flood = iota // streams that it resets, or makes us reset
	FloodContinuation              // CONTINUATION
	FloodPing
	FloodSettings
	FloodEmptyData    // frames without content
	FloodWindowUpdate // WINDOW_UPDATE
	FloodPriority
	FloodOther      // frames of unknown types
	FloodHeaderList // fields, in number or in size
	FloodSlowHeader // time for a header block
	FloodStalled    // bytes that it is sent and does not take, when its pod has no more memory for them
	FloodWindow     // bytes, or updates of windows, beyond what windows allow (FLOW_CONTROL_ERROR)
	FloodHeadMemory // bytes of heads of HTTP/1, when its pod has no more memory for them
	FloodCount
)

var floodNames = [FloodCount]string{"reset", "continuation", "ping", "settings", "empty_data", "window_update", "priority", "unknown_frame", "header_list",
	"slow_header", "stalled", "flow_control", "head_memory"}

// String returns the kind as metrics show it.
func (f Flood) String() string { return floodNames[min(f, FloodCount-1)] }

// Side is one of the two that a proxy has to do with.
type Side uint8

// The sides.
const (
	ClientSide Side = iota
	ServerSide
	SideCount
)

var sideNames = [SideCount]string{"client", "server"}

// String returns the side as metrics show it.
func (s Side) String() string { return sideNames[min(s, SideCount-1)] }
