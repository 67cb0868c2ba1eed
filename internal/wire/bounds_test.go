package wire

import (
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func TestAbsurdNumbersOfAReportAreRefused(t *testing.T) {
	for name, change := range map[string]func(*pb.Traffic){
		"unchanged":             func(*pb.Traffic) {},
		"old breaker":           func(m *pb.Traffic) { m.BreakerAge = math.MaxInt64 },
		"breaker of the future": func(m *pb.Traffic) { m.BreakerAge = -1 },
		"long coverage":         func(m *pb.Traffic) { m.Covered = math.MaxInt64 },
		"many breakers":         func(m *pb.Traffic) { m.BreakersOpen = math.MaxUint32 },
		"many connections":      func(m *pb.Traffic) { m.Connections = math.MaxUint32 },
		"many requests":         func(m *pb.Traffic) { m.Counts.Requests = math.MaxUint64 },
		"many bytes":            func(m *pb.Traffic) { m.Counts.OpaqueSent = maxTally + 1 },
		"many fast calls":       func(m *pb.Traffic) { m.Latency = []uint64{math.MaxUint64} },
		"many buckets":          func(m *pb.Traffic) { m.Latency = make([]uint64, policy.LatencyBuckets+1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := policy.Report{Traffic: []policy.Traffic{{Policy: policy.ParseID("shop/p"), Target: "any", Counts: policy.Counts{Requests: maxTally}}}}
			m, err := reportToProto(&r)
			if err != nil {
				t.Fatal(err)
			}
			change(m.Traffic[0])
			got, err := reportFromProto(m)
			if refused := errors.Is(err, ErrMalformed); refused == (name == "unchanged") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestNumbersThatWouldBeRefusedAreNotSent(t *testing.T) {
	for name, entry := range map[string]policy.Traffic{
		"negative gauge": {Connections: -1},
		"old breaker":    {BreakerAge: maxDuration + 1},
		"many requests":  {Counts: policy.Counts{Requests: maxTally + 1}},
	} {
		if _, err := reportToProto(&policy.Report{Traffic: []policy.Traffic{entry}}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ages come from clocks that may jump; they are brought within bounds, and the report counts.
func TestTimesOfAReportAreBroughtWithinBounds(t *testing.T) {
	for _, tc := range []struct{ in, want time.Duration }{
		{-time.Hour, 0}, {0, 0}, {time.Second, time.Second}, {math.MaxInt64, maxDuration}, {math.MinInt64, 0},
	} {
		m := &pb.ReportRequest{Age: durationpb.New(tc.in), Covered: durationpb.New(tc.in), Report: &pb.Report{}}
		if r, err := reportRequestFromProto(m); err != nil || r.Age != tc.want || r.Covered != tc.want {
			t.Errorf("%s: got %s and %s, %v; want %s", tc.in, r.Age, r.Covered, err, tc.want)
		}
	}
	far := &durationpb.Duration{Seconds: math.MaxInt64, Nanos: math.MinInt32}
	if r, err := reportRequestFromProto(&pb.ReportRequest{Age: far, Report: &pb.Report{}}); err != nil || r.Age > maxDuration || r.Age < 0 {
		t.Errorf("got %s, %v", r.Age, err)
	}
}

func TestAnIntervalOfReportsIsBroughtWithinBounds(t *testing.T) {
	for _, tc := range []struct {
		in   *durationpb.Duration
		want time.Duration
	}{
		{nil, 0},
		{durationpb.New(0), MinReportInterval},
		{durationpb.New(-time.Hour), MinReportInterval},
		{durationpb.New(20 * time.Second), 20 * time.Second},
		{durationpb.New(24 * time.Hour), MaxReportInterval},
		{&durationpb.Duration{Seconds: math.MaxInt64}, MaxReportInterval},
	} {
		if got := reportAckFromProto(&pb.ReportAck{Sequence: 3, Interval: tc.in}); got != (ReportAck{Sequence: 3, Interval: tc.want}) {
			t.Errorf("%v: got %+v, want %s", tc.in, got, tc.want)
		}
	}
}

func TestAbsurdNumbersOfAPolicyAreNeitherEncodedNorDecoded(t *testing.T) {
	for name, change := range map[string]func(*policy.Settings){
		"long timeout":     func(s *policy.Settings) { s.Timeouts.Overall = math.MaxInt64 },
		"negative timeout": func(s *policy.Settings) { s.Timeouts.Overall = -1 },
		"large body":       func(s *policy.Settings) { s.Retry.BodyMaxBytes = math.MaxInt64 },
		"percent":          func(s *policy.Settings) { s.Retry.Budget.Percent = 101 },
		"negative percent": func(s *policy.Settings) { s.Retry.Backoff.JitterPercent = -1 },
		"large multiplier": func(s *policy.Settings) { s.Retry.Backoff.Multiplier = 1e300 },
		"negative factor":  func(s *policy.Settings) { s.Retry.Backoff.Multiplier = -1 },
		"not a number":     func(s *policy.Settings) { s.Retry.Backoff.Multiplier = math.NaN() },
		"negative number":  func(s *policy.Settings) { s.Pool.MaxPending = -1 },
		"open for centuries": func(s *policy.Settings) {
			b := policy.DefaultBreaker()
			b.OpenDuration = maxDuration + 1
			s.Breaker = &b
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := policy.Defaults()
			change(&s)
			p := &policy.Profile{Name: "p", Bindings: []policy.Binding{{Base: s}}}
			if r, err := EncodeProfile(p); !errors.Is(err, ErrMalformed) {
				t.Errorf("encoded as %v, %v", r, err)
			}
		})
	}
	for name, change := range map[string]func(*pb.Settings){
		"long timeout":     func(s *pb.Settings) { s.Timeouts.Overall = math.MaxInt64 },
		"large body":       func(s *pb.Settings) { s.Retry.BodyMaxBytes = math.MaxInt64 },
		"percent":          func(s *pb.Settings) { s.Retry.Budget.Percent = math.MaxInt32 },
		"large multiplier": func(s *pb.Settings) { s.Retry.Backoff.Multiplier = math.MaxFloat64 },
	} {
		t.Run("decode "+name, func(t *testing.T) {
			s := policy.Defaults()
			m := new(translator).settings(&s)
			change(m)
			d := new(decoder)
			if got := d.settings(m); !errors.Is(d.err, ErrMalformed) {
				t.Errorf("decoded as %+v", got)
			}
		})
	}
}
