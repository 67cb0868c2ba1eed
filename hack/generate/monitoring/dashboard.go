package main

import (
	"encoding/json"
	"strings"
)

// dashboard is a dashboard in Grafana's JSON model (schema version 39), as far as it is used here.
type dashboard struct {
	UID           string     `json:"uid"`
	Title         string     `json:"title"`
	Description   string     `json:"description"`
	Tags          []string   `json:"tags"`
	SchemaVersion int        `json:"schemaVersion"`
	Editable      bool       `json:"editable"`
	GraphTooltip  int        `json:"graphTooltip"` // 1: one crosshair in all panels
	Refresh       string     `json:"refresh"`
	Time          timeRange  `json:"time"`
	Templating    templating `json:"templating"`
	Links         []link     `json:"links"`
	Panels        []panel    `json:"panels"`

	x, y, height int // where the next panel goes, and how high the line is that it goes into
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type templating struct {
	List []variable `json:"list"`
}

type link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

type variable struct {
	Name       string      `json:"name"`
	Label      string      `json:"label"`
	Type       string      `json:"type"`
	Query      any         `json:"query"`
	Datasource *datasource `json:"datasource,omitempty"`
	Definition string      `json:"definition,omitempty"`
	Refresh    int         `json:"refresh"` // 1: when the dashboard is loaded, 2: when the time range changes
	Sort       int         `json:"sort,omitempty"`
	Multi      bool        `json:"multi"`
	IncludeAll bool        `json:"includeAll"`
	AllValue   string      `json:"allValue,omitempty"`
	Current    *selected   `json:"current,omitempty"`
}

type selected struct {
	Text  []string `json:"text"`
	Value []string `json:"value"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// source is the one that the variable datasource names.
var source = datasource{"prometheus", "${datasource}"}

type panel struct {
	ID              int          `json:"id"`
	Type            string       `json:"type"`
	Title           string       `json:"title"`
	Description     string       `json:"description,omitempty"`
	Datasource      *datasource  `json:"datasource,omitempty"`
	GridPos         gridPos      `json:"gridPos"`
	Targets         []target     `json:"targets,omitempty"`
	FieldConfig     *fieldConfig `json:"fieldConfig,omitempty"`
	Options         any          `json:"options,omitempty"`
	Transformations []any        `json:"transformations,omitempty"`
	Collapsed       *bool        `json:"collapsed,omitempty"`
	Panels          *[]panel     `json:"panels,omitempty"` // of a row that is collapsed
}

type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type target struct {
	RefID        string     `json:"refId"`
	Datasource   datasource `json:"datasource"`
	Expr         string     `json:"expr"`
	LegendFormat string     `json:"legendFormat,omitempty"`
	Instant      bool       `json:"instant"`
	Range        bool       `json:"range"`
	Exemplar     bool       `json:"exemplar"`
	Format       string     `json:"format"`
}

type fieldConfig struct {
	Defaults  fieldDefaults `json:"defaults"`
	Overrides []any         `json:"overrides"`
}

type fieldDefaults struct {
	Unit       string         `json:"unit"`
	Min        *float64       `json:"min,omitempty"`
	Max        *float64       `json:"max,omitempty"`
	Color      map[string]any `json:"color,omitempty"`
	Thresholds map[string]any `json:"thresholds,omitempty"`
	Mappings   []any          `json:"mappings,omitempty"`
	Custom     map[string]any `json:"custom,omitempty"`
}

// query is one line, or several, of a panel.
type query struct {
	expr, legend string
	exemplars    bool
}

// columns is how many a dashboard is divided into.
const columns = 24

func newDashboard(name, description string, variables ...variable) *dashboard {
	source := variable{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1}
	return &dashboard{
		UID: "fairlead-" + name, Title: "fairlead / " + name, Description: description, Tags: []string{"fairlead"}, SchemaVersion: 39, Editable: true,
		GraphTooltip: 1, Refresh: "30s", Time: timeRange{"now-1h", "now"}, Templating: templating{append([]variable{source}, variables...)},
		Links: []link{{Title: "fairlead", Type: "dashboards", Tags: []string{"fairlead"}, IncludeVars: true, KeepTime: true}},
	}
}

// choice is a variable with the values that a label of a metric has.
func choice(name, label, metric string) variable {
	of := "label_values(" + metric + ", " + name + ")"
	return variable{
		Name: name, Label: label, Type: "query", Query: map[string]string{"query": of, "refId": name}, Datasource: &source, Definition: of, Refresh: 2, Sort: 1,
		Multi: true, IncludeAll: true, AllValue: ".*", Current: &selected{[]string{"All"}, []string{"$__all"}},
	}
}

// add puts a panel behind the last one, or below.
func (d *dashboard) add(p panel, width, height int) {
	if d.x+width > columns {
		d.x, d.y, d.height = 0, d.y+d.height, 0
	}
	p.ID, p.GridPos = len(d.Panels)+1, gridPos{H: height, W: width, X: d.x, Y: d.y}
	d.x, d.height = d.x+width, max(d.height, height)
	d.Panels = append(d.Panels, p)
}

// row begins a part.
func (d *dashboard) row(title string) {
	d.x, d.y, d.height = 0, d.y+d.height, 0
	d.add(panel{Type: "row", Title: title, Collapsed: new(bool), Panels: &[]panel{}}, columns, 1)
}

func targets(queries []query, instant bool, format string) (out []target) {
	for i, q := range queries {
		out = append(out, target{
			RefID: string(rune('A' + i)), Datasource: source, Expr: q.expr, LegendFormat: q.legend, Instant: instant, Range: !instant,
			Exemplar: q.exemplars, Format: format,
		})
	}
	return out
}

// graph is a panel with lines over time; stacked shows them on top of each other.
func (d *dashboard) graph(title, unit, description string, queries ...query) {
	d.lines(title, unit, description, "none", queries)
}

func (d *dashboard) stacked(title, unit, description string, queries ...query) {
	d.lines(title, unit, description, "normal", queries)
}

func (d *dashboard) lines(title, unit, description, stacking string, queries []query) {
	defaults := fieldDefaults{Unit: unit, Min: new(float64), Custom: map[string]any{
		"fillOpacity": map[string]int{"none": 0, "normal": 30}[stacking], "showPoints": "never", "stacking": map[string]any{"mode": stacking, "group": "A"},
	}}
	if unit == "percentunit" {
		one := 1.0
		defaults.Max = &one
	}
	d.add(panel{
		Type: "timeseries", Title: title, Description: description, Datasource: &source, Targets: targets(queries, false, "time_series"),
		FieldConfig: &fieldConfig{Defaults: defaults, Overrides: []any{}},
		Options: map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}, columns/2, 8)
}

// level is from which value on a stat has a colour.
type level struct {
	from  float64
	color string
}

// stat is a panel with one number. Below the first level it is green.
func (d *dashboard) stat(title, unit, description, expr string, levels ...level) {
	steps := []map[string]any{{"color": "green", "value": nil}}
	for _, l := range levels {
		steps = append(steps, map[string]any{"color": l.color, "value": l.from})
	}
	d.add(panel{
		Type: "stat", Title: title, Description: description, Datasource: &source, Targets: targets([]query{{expr: expr}}, false, "time_series"),
		FieldConfig: &fieldConfig{Defaults: fieldDefaults{Unit: unit, Thresholds: map[string]any{"mode": "absolute", "steps": steps}}, Overrides: []any{}},
		Options:     map[string]any{"colorMode": "value", "graphMode": "area", "reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}},
	}, columns/6, 4)
}

// table is a panel with a line for each series, and its labels as columns.
func (d *dashboard) table(title, description, expr string, mappings map[string]string) {
	values := map[string]any{}
	for value, text := range mappings {
		values[value] = map[string]any{"text": text}
	}
	d.add(panel{
		Type: "table", Title: title, Description: description, Datasource: &source, Targets: targets([]query{{expr: expr}}, true, "table"),
		FieldConfig: &fieldConfig{
			Defaults: fieldDefaults{Unit: "none", Mappings: []any{map[string]any{"type": "value", "options": values}}}, Overrides: []any{},
		},
		Transformations: []any{map[string]any{"id": "organize", "options": map[string]any{"excludeByName": map[string]bool{"Time": true}}}},
	}, columns/2, 8)
}

// encode returns the dashboard as JSON.
func (d *dashboard) encode() ([]byte, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(d)
	return []byte(out.String()), err
}
