package main

import (
	"fmt"
	"math"
	"time"
)

// panel is a column of the figure: what it shows of a run, on one scale for all rows.
type panel struct {
	heading string
	colour  string // a class of the style sheet
	ticks   []float64
	label   func(float64) string
	scale   func(float64) float64             // 0 at the bottom, 1 at the top
	value   func(*point) (y float64, ok bool) // not ok: there is nothing to show
	offered bool                              // show what came, too
}

func panels(capacity float64) []panel {
	rate := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return []panel{
		{
			heading: "good answers per second (dashed: calls)", colour: "good", ticks: []float64{0, capacity}, label: rate, offered: true,
			scale: func(v float64) float64 { return v / (1.5 * capacity) },
			value: func(p *point) (float64, bool) { return perSecond(p.good), true },
		},
		{
			heading: "attempts at the upstream per second", colour: "sent", ticks: []float64{0, capacity, 4 * capacity}, label: rate,
			scale: func(v float64) float64 { return v / (5 * capacity) },
			value: func(p *point) (float64, bool) { return perSecond(p.sent), true },
		},
		{
			heading: "99th percentile of their latency", colour: "slow", ticks: []float64{0.1, 1},
			label: func(v float64) string { return fmt.Sprint(time.Duration(v * float64(time.Second))) },
			scale: func(v float64) float64 { return math.Log(v/0.05) / math.Log(6/0.05) },
			value: func(p *point) (float64, bool) { return p.quantile(0.99).Seconds(), p.good >= leastAnswers },
		},
	}
}

// Measures of the figure.
const (
	names, width, height = 168, 226, 58 // of a row's name and a panel
	gapX, gapY           = 42, 16
	top                  = 44
)

// figure draws a row for each outcome and a column for each panel.
func figure(title string, all []outcome) string {
	columns := panels(all[0].record.upstream.capacity())
	s := newDrawing(names+len(columns)*(width+gapX), top+len(all)*(height+gapY)+20, title)
	for k, p := range columns {
		s.text(left(k), top-26, "start", "heading", p.heading)
	}
	s.text(left(0)+along(phases[0].until), top-8, "start", "note", "overload")
	for i := range all {
		y := float64(top + i*(height+gapY))
		s.text(8, y+height/2+4, "start", "name", all[i].name)
		for k := range columns {
			plot(s, &columns[k], left(k), y, all[i].record)
		}
	}
	for k := range columns {
		s.text(left(k), float64(s.height)-16, "middle", "note", "0")
		for _, p := range phases {
			s.text(left(k)+along(p.until), float64(s.height)-16, "middle", "note", fmt.Sprintf("%.0f s", p.until.Seconds()))
		}
	}
	return s.done()
}

// left is where a column begins.
func left(k int) float64 { return float64(names + gapX/2 + k*(width+gapX)) }

// along is how far from the left of a panel a time is.
func along(d time.Duration) float64 {
	return width * d.Seconds() / phases[len(phases)-1].until.Seconds()
}

// plot draws one panel.
func plot(s *drawing, p *panel, x, y float64, r *record) {
	s.rect(x+along(phases[0].until), y, along(phases[1].until)-along(phases[0].until), height, "overload")
	up := func(v float64) float64 { return y + height*(1-min(max(p.scale(v), 0), 1)) }
	for _, t := range p.ticks {
		s.line([][2]float64{{x, up(t)}, {x + width, up(t)}}, "grid")
		s.text(x-4, up(t)+3, "end", "note", p.label(t))
	}
	var curve, offered [][2]float64
	for i := range r.points {
		at := x + along(time.Duration(i)*span+span/2)
		offered = append(offered, [2]float64{at, up(perSecond(r.points[i].offered))})
		if v, ok := p.value(&r.points[i]); ok {
			curve = append(curve, [2]float64{at, up(v)})
			continue
		}
		s.line(curve, p.colour)
		curve = nil
	}
	if p.offered {
		s.line(offered, "offered")
	}
	s.line(curve, p.colour)
}
