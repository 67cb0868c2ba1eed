//go:build !race

package http1

func poison([]byte) {}
