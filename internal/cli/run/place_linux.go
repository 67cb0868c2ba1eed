package run

import "errors"

func canCapture() error { return errors.New("x") }

func (r *runner) openNamespace() (place, error) { return nil, canCapture() }
