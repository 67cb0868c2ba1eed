package bundle

import (
	"bytes"
	"encoding/json"
	"path"
	"regexp"

	"sigs.k8s.io/yaml"
)

// Values of JSON are redacted by the names of their fields, and their strings as texts, so that they stay JSON.

// secretKeys are the names of fields, environment variables and flags whose values are secret.
var secretKeys = regexp.MustCompile(`(?i)(?:` + secretName + `|` + secretField + `)$`)

// secretFlag is an argument whose value is the next one.
var secretFlag = regexp.MustCompile(`(?i)^--?[a-z0-9_.-]*` + secretName + `$`)

// parse reads JSON, or YAML, with its numbers as they are written.
func parse(f *file) (v any, ok bool) {
	text := f.text
	switch path.Ext(f.name) {
	case ".yaml":
		var err error
		if text, err = yaml.YAMLToJSON(text); err != nil {
			return nil, false
		}
	case ".json":
	default:
		return nil, false
	}
	return parseJSON(text)
}

func parseJSON(text []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v) == nil && !d.More()
}

// file returns the text of a file, redacted. What cannot be parsed, since it was cut, is redacted as a text.
func (r *redactor) file(f *file) []byte {
	if path.Ext(f.name) == ".log" {
		return r.log(f.text)
	}
	if v, ok := parse(f); ok {
		text, err := json.MarshalIndent(r.value(v), "", "  ")
		if err == nil && path.Ext(f.name) == ".yaml" {
			text, err = yaml.JSONToYAML(text)
		}
		if err == nil {
			return append(bytes.TrimSuffix(text, []byte("\n")), '\n')
		}
	}
	return r.text(f.text)
}

// learn makes the hosts and nodes known that a file names.
func (r *redactor) learn(f *file) {
	if r.key == nil {
		return
	}
	if v, ok := parse(f); ok {
		r.hostsIn(v, "")
		return
	}
	for line := range bytes.Lines(f.text) {
		if _, v, ok := logged(line); ok {
			r.hostsIn(v, "")
		} else {
			r.hostsIn(string(line), "")
		}
	}
}

// logged reads a line of a log that is an object of JSON, after the time at which it was written.
func logged(line []byte) (stamp []byte, v map[string]any, ok bool) {
	i := bytes.IndexByte(line, '{')
	if i < 0 || bytes.Count(line[:i], []byte(" ")) > 1 {
		return nil, nil, false
	}
	of, ok := parseJSON(line[i:])
	v, object := of.(map[string]any)
	return line[:i], v, ok && object
}

// log redacts a log: its lines of JSON as values, without the paths of calls, and what is between them as a text.
func (r *redactor) log(text []byte) []byte {
	var out, between bytes.Buffer
	flush := func() {
		out.Write(r.text(r.without(&paths, between.Bytes())))
		between.Reset()
	}
	for line := range bytes.Lines(text) {
		stamp, v, ok := logged(line)
		if !ok {
			between.Write(line)
			continue
		}
		flush()
		again, err := json.Marshal(r.value(r.withoutPaths(v)))
		if err != nil { // it was read as JSON
			continue
		}
		out.Write(append(append(bytes.Clone(r.text(stamp)), again...), '\n'))
	}
	flush()
	return out.Bytes()
}

// withoutPaths removes paths of calls, which may say whose calls they are.
func (r *redactor) withoutPaths(v any) any {
	of, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for key, v := range of {
		if _, ok := v.(string); ok && key == "path" {
			r.counts["path"]++
			of[key] = removed
			continue
		}
		of[key] = r.withoutPaths(v)
	}
	return of
}

// value redacts a value of JSON.
func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return string(r.text([]byte(v)))
	case []any:
		r.list(v)
	case map[string]any:
		return r.object(v)
	}
	return v
}

func (r *redactor) list(all []any) {
	secret := false
	for i, v := range all {
		s, ok := v.(string)
		if secret && ok {
			all[i] = r.secret(s)
		} else {
			all[i] = r.value(v)
		}
		secret = ok && !secret && secretFlag.MatchString(s)
	}
}

func (r *redactor) object(of map[string]any) map[string]any {
	out := make(map[string]any, len(of))
	name, _ := of["name"].(string)
	for key, v := range of {
		secret := secretKeys.MatchString(key) || key == "value" && secretKeys.MatchString(name)
		key = string(r.namesIn([]byte(key), true))
		switch {
		case secret:
			out[key] = r.secret(v)
		default:
			out[key] = r.value(v)
		}
	}
	return out
}

// secret removes a value that is secret. What has fields of its own, as the volume of a Secret has, is a description of one.
func (r *redactor) secret(v any) any {
	switch of := v.(type) {
	case string:
		if of == "" || of == removed {
			return of
		}
	case json.Number:
	case []any:
		for i := range of {
			of[i] = r.secret(of[i])
		}
		return of
	default:
		return r.value(v)
	}
	r.counts["password"]++
	return removed
}
