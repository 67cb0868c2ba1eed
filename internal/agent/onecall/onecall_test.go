package onecall

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneRequestIsMade(t *testing.T) {
	var got []*http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	report := filepath.Join(t.TempDir(), "result")
	var out bytes.Buffer
	err := Run(t.Context(), []string{"--url", s.URL + "/a?b=c", "--method", "POST", "--header", "x-a: 1", "--header", "Host: other.example", "--mark", "m", "--report", report}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Method != "POST" || got[0].URL.RequestURI() != "/a?b=c" || got[0].Header.Get("Fairlead-Trace") != "m" || got[0].Header.Get("X-A") != "1" || got[0].Host != "other.example" {
		t.Fatalf("the server got %+v", got)
	}
	text, err := os.ReadFile(report)
	if err != nil || strings.TrimSpace(out.String()) != string(text) {
		t.Fatalf("reported %s, printed %s, %v", text, out.String(), err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil || r.Status != http.StatusFound || r.Proto != "HTTP/1.1" || r.Error != "" {
		t.Errorf("reported %+v, %v", r, err)
	}
}

func TestHTTP2InTheClear(t *testing.T) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.Protocols = &protocols
	s.Start()
	defer s.Close()
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"--url", s.URL, "--http2"}, &out); err != nil || !strings.Contains(out.String(), `"proto":"HTTP/2.0"`) {
		t.Errorf("printed %s, %v", out.String(), err)
	}
}

// Over TLS the server is verified by the public roots and what is trusted beside them, unless that is not asked for; the call comes from the port that it is to.
func TestACallOverTLS(t *testing.T) {
	var from string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from = r.RemoteAddr }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"no trust":      {nil, "certificate signed by unknown authority"},
		"trust":         {[]string{"--ca", ca}, `"status":200,"proto":"HTTP/2.0"`},
		"unverified":    {[]string{"--insecure"}, `"status":200`},
		"HTTP/2":        {[]string{"--ca", ca, "--http2"}, `"proto":"HTTP/2.0"`},
		"nothing in it": {[]string{"--ca", "none"}, "ca has no certificate"},
	} {
		var out bytes.Buffer
		if err := Run(t.Context(), append([]string{"--url", s.URL}, tc.args...), &out); err != nil || !strings.Contains(out.String(), tc.says) {
			t.Errorf("%s: %s, %v", name, out.String(), err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free when it is closed
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var taken, out bytes.Buffer
	if err := Run(t.Context(), []string{"--url", s.URL, "--insecure", "--port", port}, &taken); err != nil || !strings.Contains(taken.String(), "address already in use") {
		t.Errorf("from a port that is taken: %s, %v", taken.String(), err)
	}
	l.Close()
	if err := Run(t.Context(), []string{"--url", s.URL, "--insecure", "--port", port}, &out); err != nil || !strings.HasSuffix(from, ":"+port) {
		t.Errorf("from %s, and not port %s: %s, %v", from, port, out.String(), err)
	}
}

func TestAFailureIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"--url", "http://" + at}, &out); err != nil || !strings.Contains(out.String(), "connection refused") {
		t.Errorf("printed %s, %v", out.String(), err)
	}
}

func TestWhatCannotBeRequestedIsRefused(t *testing.T) {
	for says, args := range map[string][]string{
		"write one that begins with http://": {"--url", "ftp://a"},
		"names a host":                       {"--url", "http:///path"},
		"write name: value":                  {"--url", "http://a", "--header", "x"},
		"invalid method":                     {"--url", "http://a", "--method", "G T"},
	} {
		if err := Run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
