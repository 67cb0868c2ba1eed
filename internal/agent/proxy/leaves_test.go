package proxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// deepCopy copies what a value points to, too.
func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(deepCopy(v.Elem()))
	case v.Kind() == reflect.Slice && !v.IsNil():
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(deepCopy(v.Index(i)))
		}
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().PkgPath(), "fairlead.dev"):
		for i := range v.NumField() {
			out.Field(i).Set(deepCopy(v.Field(i)))
		}
	}
	return out
}

// fill sets everything to what no default is.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Prefix]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString("other")
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Uint8:
		v.SetUint(2)
	case reflect.Uint16:
		v.SetUint(1 << 9)
	default:
		v.SetInt(int64(time.Hour))
	}
}

// leaves are the values below v by their paths.
func leaves(v reflect.Value, path string) map[string]string {
	out := map[string]string{}
	add := func(m map[string]string) {
		for k, s := range m {
			out[k] = s
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			add(leaves(v.Elem(), path))
		}
	case reflect.Slice:
		for i := range v.Len() {
			add(leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			add(leaves(v.Field(i), path+"."+v.Type().Field(i).Name))
		}
	default:
		out[path] = fmt.Sprint(v)
	}
	return out
}
