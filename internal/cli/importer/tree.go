package importer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// tree is a part of an object, and what of the object has been read.
type tree struct {
	value any
	name  string // the key that it stands under
	path  string
	read  map[string]bool // shared: paths that were read, with all below them
}

func newTree(object map[string]any) tree { return tree{value: object, read: map[string]bool{}} }

// at returns a part below t; what is not there is an empty tree.
func (t tree) at(keys ...string) tree {
	for _, key := range keys {
		m, _ := t.value.(map[string]any)
		t.value, t.name, t.path = m[key], key, strings.TrimPrefix(t.path+"."+key, ".")
	}
	return t
}

// is reports whether there is something.
func (t tree) is() bool { return t.value != nil }

// items returns the entries of a list.
func (t tree) items() []tree {
	list, _ := t.value.([]any)
	out := make([]tree, len(list))
	for i := range list {
		out[i] = tree{list[i], t.name, fmt.Sprintf("%s[%d]", t.path, i), t.read}
	}
	return out
}

// entries returns the keys of an object, sorted, with what they hold.
func (t tree) entries() []tree {
	m, _ := t.value.(map[string]any)
	var out []tree
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, t.at(key))
	}
	return out
}

// done marks a part, and all below it, as read.
func (t tree) done() { t.read[t.path] = true }

// text reads a string or a number; "" if there is none.
func (t tree) text() string {
	var out string
	switch v := t.value.(type) {
	case string:
		out = v
	case int64:
		out = strconv.FormatInt(v, 10)
	case float64:
		out = strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		out = strconv.FormatBool(v)
	default:
		return ""
	}
	t.done()
	return out
}

// number reads an integer; ok is false if there is none.
func (t tree) number() (n int32, ok bool) {
	v, err := strconv.ParseInt(t.text(), 10, 64)
	if err != nil || v < 0 || v > math.MaxInt32 {
		return 0, false
	}
	return int32(v), true
}

// unread lists the values below t that were not read, by their paths.
func (t tree) unread() []string {
	if t.read[t.path] || t.value == nil {
		return nil
	}
	var out []string
	switch v := t.value.(type) {
	case map[string]any:
		for _, e := range t.entries() {
			out = append(out, e.unread()...)
		}
		if len(v) == 0 {
			out = append(out, t.path)
		}
	case []any:
		for _, e := range t.items() {
			out = append(out, e.unread()...)
		}
	default:
		out = append(out, t.path)
	}
	return out
}
