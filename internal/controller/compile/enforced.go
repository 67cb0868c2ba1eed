package compile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// UnenforcedField is a field that is set and not enforced.
type UnenforcedField struct {
	// Field is its path below spec, such as retry.hedging.
	Field string
	// Reason is one of the Reasons of the PartiallyEnforced condition.
	Reason string
	// Target is the entry of to that the field belongs to, or -1 for all.
	Target int
}

// enforcedValues lists the values of fields that make agents understand calls, where others have them pass connections through.
var enforcedValues = map[string][]string{
	"to[].protocol":      {"Auto", "HTTP", "HTTP2", "GRPC"},
	"to[].cidr.protocol": {"Auto", "HTTP", "HTTP2", "GRPC"},
}

// UnenforcedFields lists the fields of src that are set and have nothing to act on, in the order of the API's fields, each once.
func UnenforcedFields(src *Source) []UnenforcedField {
	u := unenforced{seen: map[fieldOf]bool{}}
	if src.Mode == v1alpha1.ModeDryRun {
		u.unknowable(src)
	}
	for i := range src.To {
		u.target(i, &src.To[i])
		if reason := passedThrough(&src.To[i]); reason != "" {
			u.withoutRequests(src, i, reason)
		}
	}
	return u.list
}

// unenforced collects fields.
type unenforced struct {
	list []UnenforcedField
	seen map[fieldOf]bool
}

// fieldOf is a field as it concerns one entry of to, or all.
type fieldOf struct {
	field  string
	target int
}

func (u *unenforced) add(f UnenforcedField) {
	if of := (fieldOf{f.Field, f.Target}); !u.seen[of] && !u.seen[fieldOf{f.Field, -1}] {
		u.seen[of] = true
		u.list = append(u.list, f)
	}
}

// entryOf returns the entry of a table that stands for a path.
func entryOf(table []string, path string) (string, bool) {
	for _, entry := range table {
		if path == entry || strings.HasPrefix(path, entry+".") || strings.HasPrefix(path, entry+"[") {
			return entry, true
		}
	}
	return "", false
}

// shown cuts the leaf's path as users write it to the length of a table entry.
func shown(path, entry string) string {
	parts := strings.Split(path, ".")
	n := len(strings.Split(entry, "."))
	if strings.HasPrefix(path, "rules[") && !strings.HasPrefix(entry, "rules[") {
		n++
	}
	return strings.Join(parts[:min(n, len(parts))], ".")
}

// leaf is a field that is set: its path in the table, its path as users see it, and its value if it is a string.
type leaf struct {
	path, shown, value string
}

func (l leaf) field(name string) leaf {
	if l.path == "" && l.shown == "" {
		return leaf{path: name, shown: name}
	}
	if l.path == "" { // in a rule, whose blocks are those of the policy
		return leaf{path: name, shown: l.shown + "." + name}
	}
	return leaf{path: l.path + "." + name, shown: l.shown + "." + name}
}

// walk visits the leaves below v that are set.
func walk(at leaf, v reflect.Value, visit func(leaf)) {
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		if field.IsZero() {
			continue
		}
		if f.Anonymous {
			if strings.HasPrefix(at.path, "rules[]") {
				walk(leaf{shown: at.shown}, field, visit)
			} else {
				walk(at, field, visit)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		walkValue(at.field(name), field, visit)
	}
}

func walkValue(at leaf, v reflect.Value, visit func(leaf)) {
	switch {
	case isBlock(v.Type()) && !isValue(v.Type().Elem()):
		walk(at, v.Elem(), visit)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			item := leaf{path: at.path + "[]", shown: fmt.Sprintf("%s[%d]", at.shown, i)}
			if r, ok := v.Index(i).Interface().(v1alpha1.Rule); ok {
				item.shown = fmt.Sprintf("%s[%s]", at.shown, r.Name)
			}
			walk(item, v.Index(i), visit)
		}
	default:
		if v.Kind() == reflect.String {
			at.value = v.String()
		}
		visit(at)
	}
}

// target adds the fields of one entry of to.
func (u *unenforced) target(i int, d *v1alpha1.Destination) {
	at := fmt.Sprintf("to[%d].", i)
	protocol, field := d.Protocol, at+"protocol"
	if d.CIDR != nil {
		protocol, field = d.CIDR.Protocol, at+"cidr.protocol"
	}
	switch {
	case protocol == v1alpha1.ProtocolTLS:
		u.add(UnenforcedField{field, v1alpha1.ReasonEncrypted, i})
	case protocol == v1alpha1.ProtocolTCP:
		u.add(UnenforcedField{field, v1alpha1.ReasonOpaqueProtocol, i})
	case cleartext(protocol), intercepts(d):
	case d.Host != "" && mayBeHTTPS(d):
		u.add(UnenforcedField{at + "host", v1alpha1.ReasonEncrypted, i})
	case mayBeHTTPS(d):
		u.add(UnenforcedField{at + portsField(d), v1alpha1.ReasonEncrypted, i})
	}
}

// cleartext reports whether calls are declared to be ones that agents understand.
func cleartext(p v1alpha1.Protocol) bool {
	return p == v1alpha1.ProtocolHTTP || p == v1alpha1.ProtocolHTTP2 || p == v1alpha1.ProtocolGRPC
}

// intercepts reports whether agents end the TLS of pods that call a destination, so that they understand what is inside.
func intercepts(d *v1alpha1.Destination) bool {
	return d.TLS != nil && d.TLS.Mode == v1alpha1.TLSIntercept
}

// https is the port on which calls are encrypted by the pod.
const https = 443

// mayBeHTTPS reports whether one of the ports of a destination, as far as it names them, is for encrypted calls.
func mayBeHTTPS(d *v1alpha1.Destination) bool {
	switch {
	case d.Host != "":
		return len(d.Ports) == 0 || slices.Contains(d.Ports, https)
	case d.Service != nil:
		port := d.Service.Port
		return port != nil && (port.IntVal == https || port.StrVal == "https")
	case d.CIDR != nil:
		return slices.Contains(d.CIDR.Ports, https)
	}
	return slices.Contains(d.Ports, https)
}

// portsField names the field in which a destination other than a host says its ports.
func portsField(d *v1alpha1.Destination) string {
	switch {
	case d.Service != nil:
		return "service.port"
	case d.CIDR != nil:
		return "cidr.ports"
	}
	return "ports"
}
