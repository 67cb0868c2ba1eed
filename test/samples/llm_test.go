package samples

import (
	"bufio"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

const llmHost = "http://api.llm.example"

func llm(t *testing.T) (*world, *http.Client, *answering) {
	t.Helper()
	up := &answering{}
	server, root := up.serveTLS(t, "api.llm.example")
	w := start(t, "llm-api.yaml", netip.MustParseAddrPort("192.0.2.10:80"), server, root)
	return w, w.client(http1), up
}

// The API says when to come back, and is heard; who is asked to wait for longer than the policy grants gets the answer.
func TestTheLanguageModelIsAskedAgainWhenItSays(t *testing.T) {
	_, c, up := llm(t)
	const completions = llmHost + "/v1/messages"
	up.script(status(529, "Retry-After-Ms", "30"), status(429, "Retry-After-Ms", "20", "Retry-After", "3600"), status(200))
	began := time.Now()
	got := ends(t, call(t, c, "POST", completions, "prompt"), 200, up, 3)
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("the waits that were asked for took %v together", took)
	}
	for i, want := range []string{"1", "2;reason=upstream_failure", "3;reason=upstream_failure"} {
		if n := got[i].header.Get("Fairlead-Attempt"); n != want {
			t.Errorf("attempt %d is marked %q", i+1, n)
		}
	}
	up.script(status(429, "Retry-After", "61"), status(200))
	if res := call(t, c, "POST", completions, "prompt"); res.Header.Get("Retry-After") != "61" {
		t.Errorf("the caller is not shown for how long: %v", res.Header)
	}
	if n := len(up.taken()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Some calls are repeated less, and some never.
func TestTheLanguageModelsOtherCalls(t *testing.T) {
	_, c, up := llm(t)
	soon := status(529, "Retry-After-Ms", "1")
	up.script(soon)
	ends(t, call(t, c, "POST", llmHost+"/v1/messages", "prompt"), 529, up, 5)
	ends(t, call(t, c, "POST", llmHost+"/v1/messages", "prompt", "X-Priority", "background"), 529, up, 2)
	ends(t, call(t, c, "POST", llmHost+"/v1/batches", "job"), 529, up, 1)
	ends(t, call(t, c, "POST", llmHost+"/v1/messages", "prompt", "Fairlead-Attempt", "2"), 529, up, 1)
	// A prompt that is not kept is sent, and not sent again.
	ends(t, call(t, c, "POST", llmHost+"/v1/messages", string(make([]byte, 2<<20))), 529, up, 1)
}

// A stream goes on for as long as it will, whatever earlier policies say, and nothing is hedged.
func TestTheLanguageModelsStreamsAreCutByNothing(t *testing.T) {
	w, c, up := llm(t)
	s := w.base()
	if limit := s.Timeouts; limit.Idle+limit.Read+limit.PerTry+limit.Overall+limit.MaxDuration != 0 || limit.Adaptive.On() {
		t.Errorf("streams are bounded: %+v", limit)
	}
	if s.Retry.Hedging.Max != 0 || s.Retry.Budget.Percent != 10 || s.Retry.Budget.MinPerSecond != 2 {
		t.Errorf("hedges and budget are %+v, %+v", s.Retry.Hedging, s.Retry.Budget)
	}
	next := make(chan bool)
	up.script(func(rw http.ResponseWriter, _ *http.Request) {
		for range next {
			_, _ = io.WriteString(rw, "data: token\n")
			_ = http.NewResponseController(rw).Flush()
		}
	})
	answers := make(chan *http.Response, 1)
	go func() {
		defer close(answers)
		if res, err := c.Post(llmHost+"/v1/messages", "application/json", nil); err == nil {
			answers <- res
		}
	}()
	next <- true
	res := <-answers
	if res == nil {
		t.Fatal("no answer")
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for range 3 { // each comes as it is written, not when the answer is whole
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		next <- true
	}
	close(next)
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil || len(up.taken()) != 1 {
		t.Errorf("the stream ends with %v", err)
	}
}
