// Package onecall makes one HTTP request and says what became of it: it is what kubectl fairlead trace runs in a pod, so that the pod's own network, and
// whatever governs its calls, is what the request meets.
package onecall

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// maxBody bounds what is read of a response.
const maxBody = 1 << 20

// Result is what became of the request. Error is empty if there was a response.
type Result struct {
	Status  int     `json:"status,omitempty"`
	Proto   string  `json:"proto,omitempty"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

// request is what the arguments say.
type request struct {
	url, method, mark, report string
	headers                   []string
	timeout                   time.Duration
	http2, insecure           bool
	ca                        string
	port                      int
}

// Run makes the request that the arguments describe, and writes the Result to out and to the file that they name. It fails where they cannot be read.
func Run(ctx context.Context, args []string, out io.Writer) error {
	var q request
	fs := flag.NewFlagSet("agent call", flag.ContinueOnError)
	fs.StringVar(&q.url, "url", "", "what to request: http://host:port/path")
	fs.StringVar(&q.method, "method", http.MethodGet, "the method")
	fs.StringVar(&q.mark, "mark", "", "value of the "+liveapi.TraceField+" field")
	fs.StringVar(&q.report, "report", "", "file that the result is written to; none if it is empty")
	fs.DurationVar(&q.timeout, "timeout", 30*time.Second, "how long to wait for the end of the response")
	fs.BoolVar(&q.http2, "http2", false, "speak HTTP/2, also in the clear")
	fs.StringVar(&q.ca, "ca", "", "certificates (PEM) to trust beside the public roots")
	fs.BoolVar(&q.insecure, "insecure", false, "do not verify the server's certificate")
	fs.IntVar(&q.port, "port", 0, "the local port to call from; 0: any")
	fs.Func("header", "a field, as name: value; can be given several times", func(s string) error {
		q.headers = append(q.headers, s)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	to, err := q.build(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(q.make(to))
	if err != nil {
		return err
	}
	if q.report != "" {
		if err := os.WriteFile(q.report, text, 0o600); err != nil {
			return err
		}
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// build makes the request.
func (q *request) build(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(q.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("url is %q: write one that begins with http:// or https:// and names a host", q.url)
	}
	to, err := http.NewRequestWithContext(ctx, q.method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	to.Header.Set("User-Agent", "kubectl-fairlead")
	for _, h := range q.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header is %q: write name: value", h)
		}
		if name = strings.TrimSpace(name); strings.EqualFold(name, "host") {
			to.Host = strings.TrimSpace(value)
			continue
		}
		to.Header.Add(name, strings.TrimSpace(value))
	}
	if q.mark != "" {
		to.Header.Set(liveapi.TraceField, q.mark)
	}
	return to, nil
}

// make makes the request once: the client itself neither retries nor follows redirects nor goes through proxies.
func (q *request) make(to *http.Request) Result {
	trust, err := q.trust()
	if err != nil {
		return Result{Error: err.Error()}
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{Port: q.port}}
	var protocols http.Protocols
	protocols.SetHTTP1(!q.http2)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(q.http2)
	tr := &http.Transport{Protocols: &protocols, DisableCompression: true, DisableKeepAlives: !q.http2, DialContext: from.DialContext, TLSClientConfig: trust}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: q.timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	res, err := c.Do(to)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		return Result{Seconds: time.Since(began).Seconds(), Error: err.Error()}
	}
	defer res.Body.Close()
	r := Result{Status: res.StatusCode, Proto: res.Proto}
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxBody)); err != nil {
		r.Error = err.Error()
	}
	r.Seconds = time.Since(began).Seconds()
	return r
}

// trust returns how a server is verified.
func (q *request) trust() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: q.insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // who makes the call asks for it
	if q.ca == "" {
		return c, nil
	}
	var err error
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		return nil, fmt.Errorf("read the public roots: %w", err)
	}
	if !c.RootCAs.AppendCertsFromPEM([]byte(q.ca)) {
		return nil, errors.New("ca has no certificate: write them in PEM")
	}
	return c, nil
}
