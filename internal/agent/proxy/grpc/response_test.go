package grpc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
)

type field struct{ name, value string }

// feed gives a response to r: its head, which ends the stream if there are no trailers (nil), and then the trailers.
func feed(r *Response, status int, head []field, more bool, trailers []field) {
	r.Begin(status)
	for _, f := range head {
		r.Field([]byte(f.name), []byte(f.value))
	}
	r.EndHead(!more)
	if trailers == nil {
		return
	}
	for _, f := range trailers {
		r.Field([]byte(f.name), []byte(f.value))
	}
	r.EndTrailers()
}

func TestResponses(t *testing.T) {
	proto := field{"content-type", "application/grpc+proto"}
	status := func(v string) field { return field{"grpc-status", v} }
	pushback := func(v string) field { return field{"grpc-retry-pushback-ms", v} }
	forbidden := call.Response{GRPCStatus: Unavailable, RetryAfter: -1, HasRetryAfter: true}
	for name, tc := range map[string]struct {
		http     int
		head     []field
		more     bool
		trailers []field
		want     call.Response
	}{
		"trailers-only":                    {200, []field{proto, status("14")}, false, nil, call.Response{GRPCStatus: 14}},
		"trailers-only, all right":         {200, []field{proto, status("0")}, false, nil, call.Response{GRPCStatus: 0}},
		"without a status":                 {200, []field{proto}, false, nil, call.Response{GRPCStatus: Unknown}},
		"the last status counts":           {200, []field{proto, status("0"), status("13")}, false, nil, call.Response{GRPCStatus: 13}},
		"pending":                          {200, []field{proto}, true, nil, call.Response{GRPCStatus: None, GRPCPending: true}},
		"a head's status is not the end's": {200, []field{proto, status("14"), pushback("5")}, true, nil, call.Response{GRPCStatus: None, GRPCPending: true}},
		"trailers":                         {200, []field{proto}, true, []field{status("8")}, call.Response{GRPCStatus: 8}},
		"trailers after a head's status":   {200, []field{proto, status("14")}, true, []field{{"x", "y"}}, call.Response{GRPCStatus: Unknown}},
		"a proxy's answer":                 {503, []field{{"content-type", "text/html"}}, true, nil, call.Response{GRPCStatus: Unavailable}},
		"a proxy's answer with trailers":   {502, nil, true, []field{status("0")}, call.Response{GRPCStatus: Unavailable}},
		"no gRPC":                          {200, []field{{"content-type", "application/grpc-web"}}, true, nil, call.Response{GRPCStatus: Unknown}},
		"a status without a type":          {200, []field{status("12")}, false, nil, call.Response{GRPCStatus: 12}},
		"a status beside another of HTTP":  {503, []field{proto, status("7")}, false, nil, call.Response{GRPCStatus: 7}},
		"pushback": {200, []field{proto, status("14"), pushback("150")}, false, nil,
			call.Response{GRPCStatus: 14, RetryAfter: 150 * time.Millisecond, HasRetryAfter: true}},
		"pushback at once": {200, []field{proto, status("14"), pushback("0")}, false, nil, call.Response{GRPCStatus: 14, HasRetryAfter: true}},
		"pushback in trailers": {200, []field{proto}, true, []field{status("14"), pushback("7")},
			call.Response{GRPCStatus: 14, RetryAfter: 7 * time.Millisecond, HasRetryAfter: true}},
		"negative pushback":  {200, []field{proto, status("14"), pushback("-1")}, false, nil, forbidden},
		"malformed pushback": {200, []field{proto, status("14"), pushback("1s")}, false, nil, forbidden},
		"empty pushback":     {200, []field{proto, status("14"), pushback("")}, false, nil, forbidden},
		"two pushbacks":      {200, []field{proto, status("14"), pushback("1"), pushback("1")}, false, nil, forbidden},
		"endless pushback": {200, []field{proto, status("14"), pushback("99999999999999999999")}, false, nil,
			call.Response{GRPCStatus: 14, RetryAfter: mostPushback * time.Millisecond, HasRetryAfter: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			feed(&r, tc.http, tc.head, tc.more, tc.trailers)
			got := call.Response{GRPCStatus: None}
			r.Fill(&got)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if r.Status() != tc.want.GRPCStatus {
				t.Errorf("its status is %d", r.Status())
			}
		})
	}
}

func TestAStreamThatEndsWithoutTrailers(t *testing.T) {
	var r Response
	feed(&r, 200, []field{{"content-type", "application/grpc"}}, true, nil)
	if r.EndWithout(); r.Status() != Internal {
		t.Errorf("status %d", r.Status())
	}
	feed(&r, 404, nil, true, nil)
	if r.EndWithout(); r.Status() != Unimplemented {
		t.Errorf("status %d of an answer that is not gRPC's", r.Status())
	}
}

// Fields of another call say nothing.
func TestAResponseBeginsAnew(t *testing.T) {
	var r Response
	feed(&r, 200, []field{{"content-type", "application/grpc"}, {"grpc-status", "14"}, {"grpc-retry-pushback-ms", "-1"}}, false, nil)
	feed(&r, 200, []field{{"content-type", "application/grpc"}, {"grpc-status", "5"}}, false, nil)
	var got call.Response
	if r.Fill(&got); got != (call.Response{GRPCStatus: 5}) {
		t.Errorf("%+v", got)
	}
}

func FuzzResponse(f *testing.F) {
	f.Add(200, "grpc-status", "14", "grpc-retry-pushback-ms", "5", true)
	f.Add(200, "content-type", "application/grpc", "grpc-status", "0", false)
	f.Fuzz(func(t *testing.T, http int, n1, v1, n2, v2 string, more bool) {
		var r Response
		feed(&r, http, []field{{n1, v1}}, more, []field{{n2, v2}})
		var got call.Response
		r.Fill(&got)
		if got.GRPCStatus < 0 || got.GRPCStatus > greatest || got.GRPCPending {
			t.Fatalf("a response that has ended has status %d, pending %v", got.GRPCStatus, got.GRPCPending)
		}
		if got.RetryAfter < -1 || got.RetryAfter > mostPushback*time.Millisecond || got.RetryAfter != 0 && !got.HasRetryAfter {
			t.Fatalf("pushback %v", got.RetryAfter)
		}
	})
}

func TestResponsesTakeNoMemory(t *testing.T) {
	var r Response
	var to call.Response
	name, value, kind, grpc := []byte("grpc-status"), []byte("14"), []byte("content-type"), []byte("application/grpc")
	if n := testing.AllocsPerRun(100, func() {
		r.Begin(200)
		r.Field(kind, grpc)
		r.Field(name, value)
		r.EndHead(true)
		r.Fill(&to)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
