package telemetry

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

// readable turns v into what encoding/json prints for people: numbers that have a name or a unit print it (IdempotentMethods, 1.5s),
// sets list their members, an empty list is [] and not null. It keeps the order of a struct's fields, and their names in json tags.
func readable(v reflect.Value) any {
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && !v.IsNil() {
		return readable(v.Elem())
	}
	if v.IsValid() {
		switch x := v.Interface().(type) {
		case policy.Conditions:
			return x.Names()
		case json.Marshaler, encoding.TextMarshaler:
			return x
		case fmt.Stringer:
			if v.CanInt() || v.CanUint() {
				return x.String()
			}
		}
	}
	switch v.Kind() {
	case reflect.Invalid, reflect.Pointer, reflect.Interface:
		return nil
	case reflect.Struct:
		return membersOf(v)
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = readable(v.Index(i))
		}
		return list
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			m[fmt.Sprint(it.Key())] = readable(it.Value())
		}
		return m
	default:
		return v.Interface()
	}
}

// members are the fields of a struct, in order.
type members []member

type member struct {
	name  string
	value any
}

func membersOf(v reflect.Value) members {
	var out members
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if (options == "omitempty" || options == "omitzero") && v.Field(i).IsZero() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		out = append(out, member{name, readable(v.Field(i))})
	}
	return out
}

// MarshalJSON writes an object.
func (m members) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range m {
		if i > 0 {
			b = append(b, ',')
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b = append(append(strconv.AppendQuote(b, f.name), ':'), value...)
	}
	return append(b, '}'), nil
}
