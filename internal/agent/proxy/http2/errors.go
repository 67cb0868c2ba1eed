package http2

import "strconv"

// Code is an error code of RFC 9113 section 7.
type Code uint32

// The error codes of RFC 9113 section 7.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED"}

// String is the name that RFC 9113 gives the code, or its number.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return strconv.FormatUint(uint64(c), 10)
}

// Scope says what an Error ends.
type Scope uint8

const (
	// OnConnection: the connection ends with GOAWAY (RFC 9113 section 5.4.1).
	OnConnection Scope = iota
	// OnStream: the stream ends with RST_STREAM, the connection goes on (RFC 9113 section 5.4.2).
	OnStream
)

// Error says that the peer broke the protocol or a limit. Errors are constants of the package: compare them with ==. The stream that an
// error OnStream concerns is that of the frame that brought it.
type Error struct {
	Scope  Scope
	Code   Code
	Reason Reason
}

// Error is the sentence for people; it never quotes the peer, so that the sentences are a closed list, which logs show.
func (e *Error) Error() string { return e.Reason.String() }

// Reason says which rule was broken.
type Reason uint8

// The reasons, each with its Error of the same name below.
const (
	ReasonNone Reason = iota
	ReasonPreface
	ReasonFirstFrame
	ReasonFrameSize
	ReasonStreamID
	ReasonPadding
	ReasonContinuation
	ReasonPush
	ReasonWindowUpdateZero
	ReasonSettingValue
	ReasonWindowOverflow
	ReasonWindowExceeded
	ReasonCompression
	ReasonTableSize
	ReasonBlockTooLarge
	ReasonListTooLarge
	ReasonFieldName
	ReasonFieldValue
	ReasonConnectionField
	ReasonTE
	ReasonPseudoOrder
	ReasonPseudoTwice
	ReasonPseudoUnknown
	ReasonPseudoMissing
	ReasonPseudoValue
	ReasonHostsDiffer
	ReasonContentLength
	ReasonLengthMismatch
	ReasonContent
	ReasonSequence
	ReasonTrailers
	ReasonSwitch
	ReasonConnectProtocol
	ReasonHeadTimeout
	ReasonFloodReset
	ReasonFloodContinuation
	ReasonFloodPing
	ReasonFloodSettings
	ReasonFloodEmptyData
	ReasonFloodWindowUpdate
	ReasonFloodPriority
	ReasonFloodOther
	reasons // how many there are
)

var reasonTexts = [reasons]string{
	ReasonPreface:           "malformed connection preface",
	ReasonFirstFrame:        "first frame is not SETTINGS",
	ReasonFrameSize:         "bad frame size",
	ReasonStreamID:          "frame on a stream it does not belong on",
	ReasonPadding:           "padding longer than the frame",
	ReasonContinuation:      "header block interrupted",
	ReasonPush:              "push although it is disabled",
	ReasonWindowUpdateZero:  "window update of zero",
	ReasonSettingValue:      "forbidden value of a setting",
	ReasonWindowOverflow:    "window grown beyond its maximum",
	ReasonWindowExceeded:    "more data than the window allows",
	ReasonCompression:       "malformed header compression",
	ReasonTableSize:         "compression table larger than allowed",
	ReasonBlockTooLarge:     "header block too large",
	ReasonListTooLarge:      "header list too large",
	ReasonFieldName:         "malformed field name",
	ReasonFieldValue:        "forbidden character in a field value",
	ReasonConnectionField:   "connection-specific field",
	ReasonTE:                "te other than trailers",
	ReasonPseudoOrder:       "pseudo-header after a field",
	ReasonPseudoTwice:       "pseudo-header twice",
	ReasonPseudoUnknown:     "unknown or forbidden pseudo-header",
	ReasonPseudoMissing:     "missing pseudo-header",
	ReasonPseudoValue:       "malformed pseudo-header",
	ReasonHostsDiffer:       "host and authority differ",
	ReasonContentLength:     "malformed content length",
	ReasonLengthMismatch:    "content does not match its length",
	ReasonContent:           "content where there must be none",
	ReasonSequence:          "frames of a message out of order",
	ReasonTrailers:          "malformed trailers",
	ReasonSwitch:            "status 101 in HTTP/2",
	ReasonConnectProtocol:   "extended CONNECT without having been offered",
	ReasonHeadTimeout:       "header block too slow",
	ReasonFloodReset:        "too many streams reset",
	ReasonFloodContinuation: "too many CONTINUATION frames",
	ReasonFloodPing:         "too many PING frames",
	ReasonFloodSettings:     "too many SETTINGS frames",
	ReasonFloodEmptyData:    "too many empty DATA frames",
	ReasonFloodWindowUpdate: "too many WINDOW_UPDATE frames",
	ReasonFloodPriority:     "too many PRIORITY frames",
	ReasonFloodOther:        "too many frames of unknown types",
}

// String is the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasonTexts) {
		return reasonTexts[r]
	}
	return "unknown reason"
}

func conn(c Code, r Reason) *Error   { return &Error{OnConnection, c, r} }
func stream(c Code, r Reason) *Error { return &Error{OnStream, c, r} }

// What ends the connection.
var (
	ErrPreface          = conn(ProtocolError, ReasonPreface)
	ErrFirstFrame       = conn(ProtocolError, ReasonFirstFrame)
	ErrFrameSize        = conn(FrameSizeError, ReasonFrameSize)
	ErrStreamID         = conn(ProtocolError, ReasonStreamID)
	ErrPadding          = conn(ProtocolError, ReasonPadding)
	ErrContinuation     = conn(ProtocolError, ReasonContinuation)
	ErrPush             = conn(ProtocolError, ReasonPush)
	ErrWindowUpdateZero = conn(ProtocolError, ReasonWindowUpdateZero)
	ErrSettingValue     = conn(ProtocolError, ReasonSettingValue)
	ErrSettingWindow    = conn(FlowControlError, ReasonSettingValue)
	ErrWindowOverflow   = conn(FlowControlError, ReasonWindowOverflow)
	ErrWindowExceeded   = conn(FlowControlError, ReasonWindowExceeded)
	ErrCompression      = conn(CompressionError, ReasonCompression)
	ErrTableSize        = conn(CompressionError, ReasonTableSize)
	ErrBlockTooLarge    = conn(EnhanceYourCalm, ReasonBlockTooLarge)
	// ErrHeadTimeout: a header block that has begun does not come to its end (see Parser.InHead).
	ErrHeadTimeout = conn(EnhanceYourCalm, ReasonHeadTimeout)

	ErrFloodReset        = conn(EnhanceYourCalm, ReasonFloodReset)
	ErrFloodContinuation = conn(EnhanceYourCalm, ReasonFloodContinuation)
	ErrFloodPing         = conn(EnhanceYourCalm, ReasonFloodPing)
	ErrFloodSettings     = conn(EnhanceYourCalm, ReasonFloodSettings)
	ErrFloodEmptyData    = conn(EnhanceYourCalm, ReasonFloodEmptyData)
	ErrFloodWindowUpdate = conn(EnhanceYourCalm, ReasonFloodWindowUpdate)
	ErrFloodPriority     = conn(EnhanceYourCalm, ReasonFloodPriority)
	ErrFloodOther        = conn(EnhanceYourCalm, ReasonFloodOther)
)

// What ends a stream: the message on it is malformed (RFC 9113 section 8.1.1), or its window is wrong.
var (
	ErrStreamWindowUpdateZero = stream(ProtocolError, ReasonWindowUpdateZero)
	ErrStreamWindowOverflow   = stream(FlowControlError, ReasonWindowOverflow)
	ErrStreamWindowExceeded   = stream(FlowControlError, ReasonWindowExceeded)
	ErrStreamFrameSize        = stream(FrameSizeError, ReasonFrameSize)

	// ErrListTooLarge: a request may be answered with 431 instead of a reset (RFC 9113 section 10.5.1).
	ErrListTooLarge    = stream(EnhanceYourCalm, ReasonListTooLarge)
	ErrFieldName       = stream(ProtocolError, ReasonFieldName)
	ErrFieldValue      = stream(ProtocolError, ReasonFieldValue)
	ErrConnectionField = stream(ProtocolError, ReasonConnectionField)
	ErrTE              = stream(ProtocolError, ReasonTE)
	ErrPseudoOrder     = stream(ProtocolError, ReasonPseudoOrder)
	ErrPseudoTwice     = stream(ProtocolError, ReasonPseudoTwice)
	ErrPseudoUnknown   = stream(ProtocolError, ReasonPseudoUnknown)
	ErrPseudoMissing   = stream(ProtocolError, ReasonPseudoMissing)
	ErrPseudoValue     = stream(ProtocolError, ReasonPseudoValue)
	ErrHostsDiffer     = stream(ProtocolError, ReasonHostsDiffer)
	ErrContentLength   = stream(ProtocolError, ReasonContentLength)
	ErrLengthMismatch  = stream(ProtocolError, ReasonLengthMismatch)
	ErrContent         = stream(ProtocolError, ReasonContent)
	ErrSequence        = stream(ProtocolError, ReasonSequence)
	ErrTrailers        = stream(ProtocolError, ReasonTrailers)
	ErrSwitch          = stream(ProtocolError, ReasonSwitch)
	ErrConnectProtocol = stream(ProtocolError, ReasonConnectProtocol)
)
