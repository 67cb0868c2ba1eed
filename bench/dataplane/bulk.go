package main

import (
	"bytes"
	"fmt"
	"net"
)

// bulkSize is how long every answer of bulkFront is. It is set before anything is measured.
var bulkSize = 100 << 20

var bulkPart = bytes.Repeat([]byte("x"), 1<<20)

// writeBulk answers a request of HTTP/1.1.
func writeBulk(c net.Conn) error {
	if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", bulkSize); err != nil {
		return err
	}
	return writeParts(c)
}

// writeParts writes bulkSize bytes.
func writeParts(c net.Conn) error {
	for left := bulkSize; left > 0; left -= len(bulkPart) {
		if _, err := c.Write(bulkPart[:min(left, len(bulkPart))]); err != nil {
			return err
		}
	}
	return nil
}

// takeBulk takes the rest of a request whose head has come, and answers it.
func takeBulk(c net.Conn, came []byte) error {
	end := bytes.Index(came, []byte("\r\n\r\n"))
	length, err := contentLength(came[:end])
	if err == nil {
		err = drain(c, make([]byte, 256<<10), end+len("\r\n\r\n")+length-len(came))
	}
	if err == nil {
		_, err = c.Write(answerKB)
	}
	return err
}
