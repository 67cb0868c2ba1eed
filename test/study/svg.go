package main

import (
	"fmt"
	"strings"
)

// drawing is a picture in SVG that reads in light and in dark. Coordinates are rounded to tenths, so that the same picture has the same bytes.
type drawing struct {
	strings.Builder
	width, height int
}

const style = `
text { font: 11px system-ui, sans-serif; fill: #1f2328 }
.name, .heading { font-weight: 600 }
.note { font-size: 10px; fill: #59636e }
.paper { fill: #ffffff }
.overload { fill: #fff1d6 }
path { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.offered { stroke: #818b98; stroke-width: 1; stroke-dasharray: 3 2 }
.good { stroke: #1a7f37 }
.sent { stroke: #bc4c00 }
.slow { stroke: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.paper { fill: #0d1117 }
.overload { fill: #33270f }
.grid { stroke: #3d444d }
.good { stroke: #3fb950 }
.sent { stroke: #f0883e }
.slow { stroke: #58a6ff }
}
`

func newDrawing(width, height int, title string) *drawing {
	d := &drawing{width: width, height: height}
	fmt.Fprintf(d, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n", width, height, width, height)
	fmt.Fprintf(d, "<title>%s</title>\n<style>%s</style>\n", escaped(title), style)
	d.rect(0, 0, float64(width), float64(height), "paper")
	return d
}

func (d *drawing) rect(x, y, width, height float64, class string) {
	fmt.Fprintf(d, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", class, x, y, width, height)
}

// text writes a line of text; anchor says which part of it is at x: start, middle or end.
func (d *drawing) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(d, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", class, x, y, anchor, escaped(s))
}

// line draws from point to point. One point is a dot, and none nothing.
func (d *drawing) line(points [][2]float64, class string) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(d, "<path class=\"%s\" d=\"M%.1f %.1f", class, points[0][0], points[0][1])
	if len(points) == 1 {
		d.WriteString("h0")
	}
	for _, p := range points[1:] {
		fmt.Fprintf(d, "L%.1f %.1f", p[0], p[1])
	}
	d.WriteString("\"/>\n")
}

func (d *drawing) done() string { return d.String() + "</svg>\n" }

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
