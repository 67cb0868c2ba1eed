package main

import (
	"fmt"
	"strings"
	"time"
)

// outcome is a scenario and what happened in its run.
type outcome struct {
	scenario
	record *record
}

// settling is how much of a phase its figures leave out: what happens in it is the step from one load to the other.
const settling = 10 * time.Second

// during is what happened in a phase once it had begun.
func (o *outcome) during(name string) (point, time.Duration) {
	var from time.Duration
	for _, p := range phases {
		if p.name == name {
			return o.record.between(from+settling, p.until), p.until - from - settling
		}
		from = p.until
	}
	panic("no phase " + name)
}

// goodput is what part of what could have been answered in a phase was: of what came, or of what the upstream can serve if that is less.
func (o *outcome) goodput(phase string) float64 {
	p, d := o.during(phase)
	return float64(p.good) / min(float64(p.offered), o.record.upstream.capacity()*d.Seconds())
}

// amplification is how many attempts the upstream got for each call that came in a phase.
func (o *outcome) amplification(phase string) float64 {
	p, _ := o.during(phase)
	return float64(p.sent) / float64(p.offered)
}

// recovered is how long after the end of the overload calls were answered again as if nothing had been; false: they were not, to the end of the run.
func (o *outcome) recovered() (time.Duration, bool) {
	end := phases[1].until
	for i := len(o.record.points) - 1; i >= int(end/span); i-- {
		if p := &o.record.points[i]; float64(p.good) < 0.9*float64(p.offered) {
			return time.Duration(i+1)*span - end, i < len(o.record.points)-1
		}
	}
	return 0, true
}

// table shows the outcomes at one upstream.
func table(all []outcome) string {
	var b strings.Builder
	b.WriteString("| policy | overload: goodput | rejected at once | failed | attempts per call | p99 of good answers | longest queue | after it: goodput | well again after |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for i := range all {
		o := &all[i]
		p, _ := o.during("overload")
		fmt.Fprintf(&b, "| %s | **%s** | %s | %s | %.2f | %s | %d | %s | %s |\n", o.name, percent(o.goodput("overload")), percent(part(p.rejected, p.offered)),
			percent(part(p.failed, p.offered)), o.amplification("overload"), latency(&p), o.record.between(0, phases[len(phases)-1].until).queued,
			percent(o.goodput("after")), recovery(o))
	}
	return b.String()
}

func part(n, of int) float64 { return float64(n) / float64(of) }

func percent(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) }

// leastAnswers is from how many answers a 99th percentile is shown.
const leastAnswers = 100

func latency(p *point) string {
	if p.good < leastAnswers {
		return "–"
	}
	return fmt.Sprintf("%d ms", p.quantile(0.99).Milliseconds())
}

func recovery(o *outcome) string {
	switch after, ok := o.recovered(); {
	case !ok:
		return "not within 90 s"
	case after == 0:
		return "at once"
	default:
		return fmt.Sprintf("%.0f s", after.Seconds())
	}
}

// csv has every point of the outcomes at one upstream.
func csv(all []outcome) string {
	var b strings.Builder
	b.WriteString("policy,seconds,offered_per_s,good_per_s,rejected_per_s,failed_per_s,attempts_per_s,queued,p99_ms\n")
	for i := range all {
		for k := range all[i].record.points {
			p := &all[i].record.points[k]
			p99 := ""
			if p.good >= leastAnswers {
				p99 = fmt.Sprintf("%.1f", p.quantile(0.99).Seconds()*1000)
			}
			fmt.Fprintf(&b, "%s,%.0f,%.1f,%.1f,%.1f,%.1f,%.1f,%d,%s\n", all[i].file, (time.Duration(k+1) * span).Seconds(),
				perSecond(p.offered), perSecond(p.good), perSecond(p.rejected), perSecond(p.failed), perSecond(p.sent), p.queued, p99)
		}
	}
	return b.String()
}
