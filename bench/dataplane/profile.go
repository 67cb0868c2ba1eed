package main

import (
	"io"
	"net/http"
	"net/http/pprof"
	"os"
)

// addProfile serves CPU profiles beside the allocation count.
func addProfile(mux *http.ServeMux) { mux.HandleFunc("/profile", pprof.Profile) }

// saveProfile fetches a CPU profile of the fairlead candidate while it is under load.
func saveProfile(file string) error {
	resp, err := http.Get("http://127.0.0.1:16001/profile?seconds=2")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
