package main

import "errors"

func serveFairlead(port, what string) error { return errors.New("not there yet: " + port + what) }
