package http1

import (
	"errors"
	"net/http"
)

// Error says that a message broke the protocol. For a request, Status is what to answer before closing the connection; a
// response with an Error is a bad response whatever the Status. Errors are constants of the package: compare them with ==.
type Error struct {
	Status int
	text   string
}

// Error is the sentence for people; it never quotes the message, so that the sentences are a closed list, which logs show.
func (e *Error) Error() string { return e.text }

func bad(text string) *Error { return &Error{http.StatusBadRequest, text} }

// What is refused, and why.
var (
	ErrRequestLine     = bad("malformed request line")
	ErrMethod          = bad("malformed method")
	ErrTarget          = bad("malformed request target")
	ErrStatusLine      = bad("malformed status line")
	ErrBareLF          = bad("line ended by a bare line feed")
	ErrFold            = bad("folded header line")
	ErrFieldName       = bad("malformed field name")
	ErrFieldValue      = bad("forbidden character in a field value")
	ErrHostMissing     = bad("no host")
	ErrHostTwice       = bad("more than one host")
	ErrHost            = bad("malformed host")
	ErrContentLength   = bad("malformed content length")
	ErrLengthsDiffer   = bad("content lengths differ")
	ErrLengthAndCoding = bad("both content length and transfer encoding")
	ErrCoding          = bad("transfer encoding other than chunked")
	ErrCodingVersion   = bad("transfer encoding in HTTP/1.0")
	ErrConnectBody     = bad("CONNECT with a body")
	ErrConnectionList  = bad("malformed connection field")
	ErrChunkSize       = bad("malformed chunk size")
	ErrChunkLine       = bad("chunk extensions too long")
	ErrChunkEnd        = bad("chunk not ended by CRLF")
	ErrTrailer         = bad("forbidden trailer field")
	ErrSwitch          = bad("protocol switched without having been asked")

	ErrVersion      = &Error{http.StatusHTTPVersionNotSupported, "HTTP version other than 1.0 and 1.1"}
	ErrLineTooLong  = &Error{http.StatusRequestURITooLong, "request line too long"}
	ErrHeadTooLarge = &Error{http.StatusRequestHeaderFieldsTooLarge, "header block too large"}
)

// ErrMemory says that there is no memory for a message as large as this one (see Reader.Account), which does not break the protocol.
var ErrMemory = errors.New("http1: no memory for the head")
