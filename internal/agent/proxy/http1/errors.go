package http1

import "net/http"

// Error says that a message broke the protocol. For a request, Status is what to answer before closing the connection; a
// response with an Error is a bad response whatever the Status. Errors are constants of the package: compare them with ==.
type Error struct {
	Status int
	reason string
	text   string
}

// Error is the sentence for people; it never quotes the message.
func (e *Error) Error() string { return e.text }

// Reason is the short name of the error for logs and metrics, one of a closed list.
func (e *Error) Reason() string { return e.reason }

func bad(reason, text string) *Error { return &Error{http.StatusBadRequest, reason, text} }

// What is refused, and why.
var (
	ErrRequestLine     = bad("request_line", "malformed request line")
	ErrMethod          = bad("method", "malformed method")
	ErrTarget          = bad("target", "malformed request target")
	ErrStatusLine      = bad("status_line", "malformed status line")
	ErrBareLF          = bad("bare_lf", "line ended by a bare line feed")
	ErrFold            = bad("folded_line", "folded header line")
	ErrFieldName       = bad("field_name", "malformed field name")
	ErrFieldValue      = bad("field_value", "forbidden character in a field value")
	ErrHostMissing     = bad("host_missing", "no host")
	ErrHostTwice       = bad("host_twice", "more than one host")
	ErrHost            = bad("host", "malformed host")
	ErrContentLength   = bad("content_length", "malformed content length")
	ErrLengthsDiffer   = bad("lengths_differ", "content lengths differ")
	ErrLengthAndCoding = bad("length_and_coding", "both content length and transfer encoding")
	ErrCoding          = bad("transfer_coding", "transfer encoding other than chunked")
	ErrCodingVersion   = bad("coding_in_http10", "transfer encoding in HTTP/1.0")
	ErrConnectBody     = bad("connect_body", "CONNECT with a body")
	ErrConnectionList  = bad("connection_list", "malformed connection field")
	ErrChunkSize       = bad("chunk_size", "malformed chunk size")
	ErrChunkLine       = bad("chunk_line_too_long", "chunk extensions too long")
	ErrChunkEnd        = bad("chunk_end", "chunk not ended by CRLF")
	ErrTrailer         = bad("trailer_field", "forbidden trailer field")
	ErrSwitch          = bad("switched_unasked", "protocol switched without having been asked")

	ErrVersion      = &Error{http.StatusHTTPVersionNotSupported, "http_version", "HTTP version other than 1.0 and 1.1"}
	ErrLineTooLong  = &Error{http.StatusRequestURITooLong, "line_too_long", "request line too long"}
	ErrHeadTooLarge = &Error{http.StatusRequestHeaderFieldsTooLarge, "head_too_large", "header block too large"}
)
