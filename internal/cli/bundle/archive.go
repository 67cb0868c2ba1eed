package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Bounds of an archive, in bytes before it is compressed.
const (
	maxFile = 8 << 20
	maxAll  = 64 << 20
)

// file is one of an archive.
type file struct {
	name string
	text []byte
	// from says where it is from.
	from string
	cut  bool
}

// missing is what could not be gathered.
type missing struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// archive is what is gathered.
type archive struct {
	files   []file
	missing []missing
	size    int
}

// add adds a file. What is longer than a file may be loses its beginning, which is the oldest of a log.
func (a *archive) add(name, from string, text []byte) { a.addCut(name, from, text, false) }

// addCut is add for what may have lost its beginning already.
func (a *archive) addCut(name, from string, text []byte, cut bool) {
	f := file{name: name, from: from, text: text, cut: cut}
	if len(text) > maxFile {
		f.text, f.cut = text[len(text)-maxFile:], true
	}
	if a.size+len(f.text) > maxAll {
		a.miss(name, fmt.Errorf("the archive has %d MiB already, which is the most", maxAll>>20))
		return
	}
	a.size += len(f.text)
	a.files = append(a.files, f)
}

// addValue adds a file of JSON, unless the value could not be had.
func (a *archive) addValue(name, from string, v any, err error) {
	if err == nil {
		var text []byte
		if text, err = json.MarshalIndent(v, "", "  "); err == nil {
			a.add(name, from, append(text, '\n'))
			return
		}
	}
	a.miss(name, err)
}

func (a *archive) miss(what string, why error) {
	a.missing = append(a.missing, missing{what, why.Error()})
}

// manifest lists what is in an archive.
type manifest struct {
	At         time.Time      `json:"at"`
	Fairlead   string         `json:"plugin"`
	Namespace  string         `json:"fairleadNamespace"`
	Anonymized bool           `json:"anonymized"`
	Redacted   map[string]int `json:"redacted"`
	Files      []listed       `json:"files"`
	Missing    []missing      `json:"missing"`
}

type listed struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	From  string `json:"from"`
	// Cut: its beginning was left out, since it was too long.
	Cut bool `json:"cut,omitempty"`
}

// write writes the archive, redacted, with its manifest first.
func (a *archive) write(to io.Writer, m manifest, r *redactor) error {
	slices.SortFunc(a.files, func(x, y file) int { return strings.Compare(x.name, y.name) })
	for i := range a.files {
		r.learn(&a.files[i])
	}
	for i := range a.files {
		a.files[i].text = r.file(&a.files[i])
		a.files[i].name = string(r.names([]byte(a.files[i].name)))
	}
	for i := range a.missing {
		a.missing[i] = missing{string(r.text([]byte(a.missing[i].What))), string(r.text([]byte(a.missing[i].Why)))}
	}
	m.Missing, m.Redacted = append([]missing{}, a.missing...), r.counts
	for _, f := range a.files {
		m.Files = append(m.Files, listed{f.name, len(f.text), string(r.names([]byte(f.from))), f.cut})
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(to)
	t := tar.NewWriter(z)
	all := append([]file{{name: "manifest.json", text: append(text, '\n')}}, a.files...)
	for _, f := range all {
		h := &tar.Header{Name: "fairlead-support/" + f.name, Mode: 0o600, Size: int64(len(f.text)), ModTime: m.At}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(t, bytes.NewReader(f.text)); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}
