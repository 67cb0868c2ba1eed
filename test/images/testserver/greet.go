package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
)

// serveMail is as much of a mail server (RFC 5321) as a client needs to deliver: it speaks first. Each message is counted under its
// recipient.
func (u *upstream) serveMail(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			u.receiveMail(c)
		}()
	}
}

func (u *upstream) receiveMail(c net.Conn) {
	answer := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	answer("220 testserver ESMTP")
	recipient, inData := "", false
	for in := bufio.NewScanner(c); in.Scan(); {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch {
		case inData && in.Text() == ".":
			inData = false
			u.receivedMail(recipient)
			answer("250 received")
		case inData:
		case strings.EqualFold(verb, "DATA"):
			inData = true
			answer("354 go on")
		case strings.EqualFold(verb, "RCPT"):
			recipient = strings.Trim(rest[strings.Index(rest, ":")+1:], "<> ")
			answer("250 ok")
		case strings.EqualFold(verb, "QUIT"):
			answer("221 bye")
			return
		default:
			answer("250 ok")
		}
	}
}

func (u *upstream) receivedMail(recipient string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.under(recipient).Requests++
}

// echoPackets sends every UDP packet back.
func echoPackets(c net.PacketConn) {
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(b[:n], from)
	}
}
