package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// callOptions are the flags that call and load share.
type callOptions struct {
	url, method, body string
	headers           headerFlags
	n, concurrency    int
	healed            int
	duration, gap     time.Duration
	timeout           time.Duration
	fresh, http2      bool
	trusted           *x509.CertPool
}

type headerFlags []string

func (h *headerFlags) String() string     { return strings.Join(*h, ", ") }
func (h *headerFlags) Set(v string) error { *h = append(*h, v); return nil }

func parseCallOptions(name string, args []string) (*callOptions, error) {
	o := &callOptions{}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.StringVar(&o.url, "url", "", "URL to call")
	fs.StringVar(&o.method, "method", "GET", "request method")
	fs.StringVar(&o.body, "body", "", "request body")
	fs.Var(&o.headers, "header", "request header, Name: value (repeatable)")
	fs.IntVar(&o.n, "n", 1, "number of calls")
	fs.IntVar(&o.concurrency, "c", 1, "calls in parallel")
	fs.DurationVar(&o.duration, "duration", 0, "call for this long instead of -n times")
	fs.IntVar(&o.healed, "healed", 0, "end early, once so many calls in a row were well after one that was not")
	fs.DurationVar(&o.gap, "gap", 0, "pause between the calls of one worker")
	fs.DurationVar(&o.timeout, "timeout", 30*time.Second, "client timeout of one call")
	fs.BoolVar(&o.fresh, "fresh", false, "a new connection for every call")
	fs.BoolVar(&o.http2, "http2", false, "speak HTTP/2, without TLS with prior knowledge")
	fs.Func("ca", "file with the certificates that servers are verified with (default: those of the system)", o.trust)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if o.url == "" || o.concurrency < 1 || o.n < 1 {
		return nil, fmt.Errorf("%s needs -url, and -n and -c of at least 1", name)
	}
	return o, nil
}

func (o *callOptions) trust(file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if o.trusted = x509.NewCertPool(); !o.trusted.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s has no certificates", file)
	}
	return nil
}

func (o *callOptions) client() *http.Client {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: o.timeout}).DialContext,
		MaxIdleConnsPerHost: o.concurrency, DisableKeepAlives: o.fresh, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: o.trusted}, Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(!o.http2)
	t.Protocols.SetHTTP2(o.http2)
	t.Protocols.SetUnencryptedHTTP2(o.http2)
	return &http.Client{Timeout: o.timeout, Transport: t}
}

// once makes one call and returns its result.
func (o *callOptions) once(ctx context.Context, c *http.Client) result {
	start := time.Now()
	local, interim := "", 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:        func(i httptrace.GotConnInfo) { local = i.Conn.LocalAddr().String() },
		Got1xxResponse: func(status int, _ textproto.MIMEHeader) error { interim = status; return nil },
	})
	req, err := http.NewRequestWithContext(ctx, o.method, o.url, bytes.NewReader([]byte(o.body)))
	if err != nil {
		return result{Error: err.Error()}
	}
	for _, h := range o.headers {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return result{Error: err.Error(), Local: local, At: start, Took: time.Since(start)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	r := result{Status: resp.StatusCode, Protocol: resp.Proto, Reason: resp.Header.Get("Fairlead-Reason"), Pod: resp.Header.Get("Server-Pod"),
		Body: string(body[:min(len(body), 256)]), Local: local, At: start, Took: time.Since(start)}
	r.Interim, r.Trailer = interim, resp.Trailer.Get("Behind")
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

type result struct {
	Status                   int
	Reason, Pod, Body, Error string
	Protocol, Trailer        string
	Interim                  int // the last status before the final one
	// Local is the address the call left from.
	Local string
	At    time.Time
	Took  time.Duration
}

func (r result) ok() bool { return r.Error == "" && r.Status >= 200 && r.Status < 300 }

// summary is what call prints.
type summary struct {
	Calls     int            `json:"calls"`
	OK        int            `json:"ok"`
	Statuses  map[int]int    `json:"statuses"`
	Reasons   map[string]int `json:"reasons"`
	Pods      map[string]int `json:"pods"`
	Protocols map[string]int `json:"protocols"`
	Errors    map[string]int `json:"errors"`
	Interim   map[int]int    `json:"interim"`
	Trailers  map[string]int `json:"trailers"`
	LastBody  string         `json:"lastBody"`
	P50Millis float64        `json:"p50Millis"`
	MaxMillis float64        `json:"maxMillis"`
	// LastBadMillis is how long after the start the last call that was not OK ended; 0 when there was none.
	LastBadMillis float64 `json:"lastBadMillis"`
	// LongestBadMillis is the longest stretch from the start of a call that was not OK to the end of the last one in a row.
	LongestBadMillis float64 `json:"longestBadMillis"`
	// Bad are the first calls that were not OK, with the wall clock's time, to be laid beside the logs.
	Bad []result `json:"bad,omitempty"`
}

// maxBad bounds summary.Bad.
const maxBad = 10

func call(ctx context.Context, args []string) error {
	o, err := parseCallOptions("call", args)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(summarise(o.run(ctx)))
}

// run makes the calls over connections of its own, closes these and returns every result.
func (o *callOptions) run(ctx context.Context) []result {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.duration > 0 {
		defer time.AfterFunc(o.duration, stop).Stop()
	}
	c := o.client()
	defer c.CloseIdleConnections()
	tickets := make(chan struct{}, o.concurrency)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all []result
		h   healing
	)
	for range o.concurrency {
		wg.Go(func() {
			for range tickets {
				// The call itself outlives the end of the run: a call cut off by the clock is not a failure.
				r := o.once(context.WithoutCancel(ctx), c)
				mu.Lock()
				all = append(all, r)
				if h.add(r); o.healed > 0 && h.over(o.healed) {
					stop()
				}
				mu.Unlock()
				pause(ctx, o.gap)
			}
		})
	}
	for i := 0; (o.duration > 0 || i < o.n) && ctx.Err() == nil; i++ {
		select {
		case tickets <- struct{}{}:
		case <-ctx.Done():
		}
	}
	close(tickets)
	wg.Wait()
	return all
}

// healing follows calls that are well again after some that were not.
type healing struct {
	failed bool
	well   int // calls in a row since the last that was not
}

func (h *healing) add(r result) {
	h.well++
	if !r.ok() {
		h.failed, h.well = true, 0
	}
}

// over reports whether a call was not well, and the last n were.
func (h *healing) over(n int) bool { return h.failed && h.well >= n }

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func summarise(all []result) summary {
	s := summary{Calls: len(all), Statuses: map[int]int{}, Reasons: map[string]int{}, Pods: map[string]int{}, Errors: map[string]int{}, Protocols: map[string]int{},
		Interim: map[int]int{}, Trailers: map[string]int{}}
	if len(all) == 0 {
		return s
	}
	slices.SortFunc(all, func(a, b result) int { return a.At.Compare(b.At) })
	start := all[0].At
	var took []time.Duration
	var badFrom, badTo time.Time
	for _, r := range all {
		took = append(took, r.Took)
		s.count(r)
		if r.ok() {
			s.OK++
			badFrom = time.Time{}
			continue
		}
		if badFrom.IsZero() {
			badFrom = r.At
		}
		badTo = r.At.Add(r.Took)
		if len(s.Bad) < maxBad {
			s.Bad = append(s.Bad, r)
		}
		s.LastBadMillis = max(s.LastBadMillis, millis(badTo.Sub(start)))
		s.LongestBadMillis = max(s.LongestBadMillis, millis(badTo.Sub(badFrom)))
	}
	slices.Sort(took)
	s.P50Millis, s.MaxMillis = millis(took[len(took)/2]), millis(took[len(took)-1])
	return s
}

// count adds what a call came to.
func (s *summary) count(r result) {
	s.LastBody = r.Body
	if r.Error != "" {
		s.Errors[r.Error]++
	} else {
		s.Statuses[r.Status]++
	}
	if r.Protocol != "" {
		s.Protocols[r.Protocol]++
	}
	if r.Interim != 0 {
		s.Interim[r.Interim]++
	}
	if r.Trailer != "" {
		s.Trailers[r.Trailer]++
	}
	if r.Reason != "" {
		s.Reasons[r.Reason]++
	}
	if r.Pod != "" {
		s.Pods[r.Pod]++
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// load prints one line a second until it gets a signal. Connections that are open when a policy arrives stay direct until
// they close; each second has new ones, so that what the policy changes shows at once.
func load(ctx context.Context, args []string) error {
	o, err := parseCallOptions("load", args)
	if err != nil {
		return err
	}
	o.duration = time.Second
	for ctx.Err() == nil {
		all := o.run(ctx)
		if len(all) == 0 {
			continue
		}
		s := summarise(all)
		fmt.Printf("%s  calls %4d  succeeded %5.1f %%  p50 %.1f ms  max %.0f ms  %s\n", time.Now().Format(time.TimeOnly),
			s.Calls, 100*float64(s.OK)/float64(s.Calls), s.P50Millis, s.MaxMillis, answers(all))
	}
	return nil
}

// answers says how calls ended, each counted once: 200x124 503x52, answered by fairlead: circuit_open x139, errors x28.
func answers(all []result) string {
	statuses, local, none := map[string]int{}, map[string]int{}, 0
	for _, r := range all {
		switch {
		case r.Error != "":
			none++
		case r.Reason != "":
			local[r.Reason+" "]++
		default:
			statuses[strconv.Itoa(r.Status)]++
		}
	}
	var parts []string
	if len(statuses) > 0 {
		parts = append(parts, tally(statuses))
	}
	if len(local) > 0 {
		parts = append(parts, "answered by fairlead: "+tally(local))
	}
	if none > 0 {
		parts = append(parts, fmt.Sprintf("errors x%d", none))
	}
	return strings.Join(parts, ", ")
}

func tally(counts map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%sx%d", k, counts[k]))
	}
	return strings.Join(out, " ")
}
