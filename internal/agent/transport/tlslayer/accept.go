package tlslayer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// ErrDeclined is the error of Accept when the client cannot be served as the config says: the client was sent nothing, and nothing was
// read of its connection, so that somebody else can serve it.
var ErrDeclined = errors.New("tlslayer: the client cannot be served this way")

// Distrust is the error of Accept when the client has ended the handshake because of the certificate, as far as that can be known.
type Distrust struct {
	// Alert is what the client has said; 0: nothing, it has closed or reset the connection when it had the certificate.
	Alert uint8
}

// Error implements error.
func (e *Distrust) Error() string { return "tlslayer: the client does not accept the certificate" }

// Accept does the handshake with a client, of whose connection read was read before, and puts the Layer on it. It takes until a time at
// most, and keeps nothing of read.
func Accept(c *transport.Conn, read []byte, config *tls.Config, until time.Time) (*Layer, error) {
	if err := c.SetWriteDeadline(until); err != nil {
		return nil, err
	}
	l := &Layer{socket: socket{conn: c, raw: c.Raw(), shaking: true, accepting: true, until: until, in: read, records: new(records)}}
	l.tls = tls.Server(&l.socket, config)
	err := l.shake()
	if lifted := c.SetWriteDeadline(time.Time{}); err == nil {
		err = lifted
	}
	if err != nil {
		return nil, l.refusal(err)
	}
	l.socket.records = nil
	if l.socket.inBuf == nil {
		l.socket.in = bytes.Clone(l.socket.in) // which is read's still
	}
	c.Secure(l)
	return l, nil
}

// refusal says what the end of a handshake with a client means.
func (l *Layer) refusal(err error) error {
	s := &l.socket
	var failed *Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	alert, alerted := alertOf(err)
	if !alerted && s.records.alerted {
		alert, alerted = s.records.alert, s.records.alert != closeNotify
	}
	switch {
	case s.declined && !s.received:
		return ErrDeclined
	case alerted && ofCertificate(alert):
		return &Distrust{Alert: alert}
	case s.answered && !alerted && leftIn(err):
		return &Distrust{}
	case failed != nil:
		return failed
	}
	return err
}

// ofCertificate reports whether an alert is about the certificate: bad_certificate to certificate_unknown, and unknown_ca (RFC 8446
// section 6.2).
func ofCertificate(alert uint8) bool { return alert >= 42 && alert <= 46 || alert == 48 }

// leftIn reports whether an error is the client's end of the connection.
func leftIn(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Opened reports whether anything was opened that the peer has sent after the handshake. It is the reading side's.
func (l *Layer) Opened() bool { return l.opened }
