package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// attempts is how often a shop that calls again does so at most.
const attempts = 5

// shop makes the calls, and writes how many were answered well: reads and orders.
func shop(w io.Writer, url string, again bool) error {
	c := &http.Client{Timeout: 10 * time.Second}
	ok := [2]int{}
	for i := range reads + orders {
		kind, method, path, body := 0, http.MethodGet, "/items/"+strconv.Itoa(i), ""
		if i%4 == 3 {
			kind, method, path, body = 1, http.MethodPost, "/orders", "order "+strconv.Itoa(i)
		}
		for n := 0; n == 0 || again && n < attempts; n++ {
			if call(c, method, url+path, body) {
				ok[kind]++
				break
			}
		}
	}
	_, err := fmt.Fprintln(w, ok[0], ok[1])
	return err
}

// call reports whether a call was answered well.
func call(c *http.Client, method, url, body string) bool {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	res, err := c.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode < 400
}
