package telemetry

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// timings is a histogram in both forms: who scrapes takes the one that it understands.
type timings struct {
	prometheus.Metric // the classic one
	counted           *latency
}

// newTimings returns what has been counted and how long it took in all.
func newTimings(d *prometheus.Desc, l *latency, nanos uint64, labels ...string) prometheus.Metric {
	count, upTo := l.cumulative()
	return timings{prometheus.MustNewConstHistogram(d, count, time.Duration(nanos).Seconds(), upTo, labels...), l}
}

// Write implements prometheus.Metric.
func (t timings) Write(out *dto.Metric) error {
	if err := t.Metric.Write(out); err != nil {
		return err
	}
	zero, from, each := t.counted.native()
	h := out.GetHistogram()
	schema, threshold := int32(nativeSchema), math.Exp2(float64(nativeFirst)/nativePerOctave)
	h.Schema, h.ZeroThreshold, h.ZeroCount = &schema, &threshold, &zero
	// A span of no length says that there are no buckets; without one a histogram would not be known as a native one.
	offset, length := int32(from), uint32(len(each))
	h.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	before := int64(0)
	for _, n := range each {
		h.PositiveDelta = append(h.PositiveDelta, int64(n)-before)
		before = int64(n)
	}
	return nil
}
