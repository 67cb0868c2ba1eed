package controller

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// specOwned is all that is kept of the fields of who has some of a policy's spec. It is never written to.
var specOwned = metav1.NewFieldsV1(`{"f:spec":{}}`)

// editOf returns the last edit of a policy's spec: that of the entry of managedFields that was written last. Two of one second cannot be distinguished.
func editOf(p client.Object) changes.Edit {
	e := changes.Edit{Generation: p.GetGeneration()}
	managers := p.GetManagedFields()
	for i := range managers {
		f := &managers[i]
		if f.Time == nil || f.Time.Before(&metav1.Time{Time: e.At}) || !ownsSpec(f) {
			continue
		}
		if f.Time.Time.Equal(e.At) && f.Manager != e.FieldManager {
			e.FieldManager, e.Operation = "", ""
			continue
		}
		e.FieldManager, e.Operation, e.At = f.Manager, string(f.Operation), f.Time.Time
	}
	return e
}

// ownsSpec reports whether an entry of managedFields has something of the spec.
func ownsSpec(f *metav1.ManagedFieldsEntry) bool {
	if f.Subresource != "" || f.FieldsV1 == nil {
		return false
	}
	var fields struct {
		Spec json.RawMessage `json:"f:spec"`
	}
	return json.Unmarshal([]byte(f.FieldsV1.GetRawString()), &fields) == nil && fields.Spec != nil
}

// trimManagers keeps of a policy's managed fields who wrote the annotation about its circuit breakers, or faults, and who has something of the spec, of
// which it keeps no more than that.
func trimManagers(obj any) (any, error) {
	o, ok := obj.(client.Object)
	if !ok {
		return obj, nil
	}
	var kept []metav1.ManagedFieldsEntry
	for _, f := range o.GetManagedFields() {
		switch {
		case compile.OwnsForced(&f), compile.OwnsFaults(&f):
			kept = append(kept, f)
		case ownsSpec(&f):
			f.FieldsV1 = specOwned
			kept = append(kept, f)
		}
	}
	o.SetManagedFields(kept)
	return obj, nil
}
