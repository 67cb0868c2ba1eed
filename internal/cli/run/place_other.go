//go:build !linux

package run

import "errors"

// canCapture says why the command's connections cannot be captured; nil: they can.
func canCapture() error {
	return errors.New("connections are captured on Linux alone; without --capture the command is pointed at a proxy")
}

func (r *runner) openNamespace() (place, error) { return nil, canCapture() }
