package index

import (
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// material is what agents are sent for a reference.
type material struct {
	// good is the last that was usable; nil if none is known, as after a start of the manager with an object that is gone.
	good     *compile.Material
	policies int // that refer to it, in the current or the active version
	profiles int
}

// setObjects works out which objects r refers to, in the policy as written and in the version that acts.
func (x *Index) setObjects(r *policyEntry) {
	references, keys := compile.ReferencesOf(&r.source), compile.MaterialKeys(&r.source)
	for _, older := range r.olderVersions() {
		references = append(references, compile.ReferencesOf(&older.Source)...)
		keys = append(keys, compile.MaterialKeys(&older.Source)...)
	}
	slices.SortFunc(references, compile.Reference.Compare)
	references = slices.Compact(references)
	x.referToObjects(r, references, keys)
}

// referToObjects replaces what r is known to refer to.
func (x *Index) referToObjects(r *policyEntry, references []compile.Reference, keys []compile.MaterialKey) {
	for _, ref := range references {
		if x.referrers[ref] == nil {
			x.referrers[ref] = map[*policyEntry]struct{}{}
		}
		x.referrers[ref][r] = struct{}{}
	}
	for _, ref := range r.references {
		if slices.Contains(references, ref) {
			continue
		}
		if delete(x.referrers[ref], r); len(x.referrers[ref]) == 0 {
			delete(x.referrers, ref)
		}
	}
	for _, key := range keys {
		x.material(key).policies++ // before any is taken away, so that what stays is not forgotten in between
	}
	for _, key := range r.materials {
		x.materials[key].policies--
		x.removeMaterialIfUnused(key)
	}
	r.references, r.materials = references, keys
}

func (x *Index) material(key compile.MaterialKey) *material {
	m := x.materials[key]
	if m == nil {
		m = &material{}
		x.materials[key] = m
	}
	return m
}

func (x *Index) removeMaterialIfUnused(key compile.MaterialKey) {
	if m := x.materials[key]; m.policies == 0 && m.profiles == 0 {
		delete(x.materials, key)
	}
}

// setMaterials takes what is usable of what r refers to. What is not usable now leaves the last that was in force.
func (x *Index) setMaterials(r *policyEntry) {
	x.setMaterialsOf(&r.source)
	for _, older := range r.olderVersions() {
		x.setMaterialsOf(&older.Source)
	}
}

func (x *Index) setMaterialsOf(src *compile.Source) {
	for _, next := range compile.MaterialsOf(src, x.lookup.Reference) {
		m := x.material(next.MaterialKey)
		if m.good != nil && m.good.Equal(next) {
			continue
		}
		if m.good = next; m.profiles > 0 {
			x.changes.materials[next.MaterialKey] = struct{}{}
		}
	}
}

// ReferenceChanged takes note that an object that policies refer to is not what it was, or that some of it has expired.
func (x *Index) ReferenceChanged(ref compile.Reference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r := range x.referrers[ref] {
		x.read(r)
		x.changes.conflicts[r.id.Namespace] = struct{}{}
	}
}

// References returns the objects that policies refer to.
func (x *Index) References() map[compile.Reference]struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make(map[compile.Reference]struct{}, len(x.referrers))
	for ref := range maps.Keys(x.referrers) {
		out[ref] = struct{}{}
	}
	return out
}

// useMaterials replaces what a profile refers to. Materials are published while a profile refers to them.
func (x *Index) useMaterials(pr *profile, keys []compile.MaterialKey) {
	for _, key := range keys {
		m := x.material(key)
		if m.profiles++; m.profiles == 1 {
			x.changes.materials[key] = struct{}{}
		}
	}
	for _, key := range pr.materials {
		m := x.materials[key]
		if m.profiles--; m.profiles == 0 {
			x.changes.materials[key] = struct{}{}
			x.removeMaterialIfUnused(key)
		}
	}
	pr.materials = keys
}

// materialsOf lists what a profile refers to, each once, but for the issuer: every node has one of its own.
func materialsOf(p *policy.Profile) []compile.MaterialKey {
	seen := map[compile.MaterialKey]struct{}{}
	var out []compile.MaterialKey
	for kind, name := range p.References() {
		key := compile.MaterialKey{Kind: kind, Name: name}
		if _, known := seen[key]; !known && key != (compile.MaterialKey{Kind: policy.ReferenceKeyPair, Name: policy.IssuerName}) {
			seen[key] = struct{}{}
			out = append(out, key)
		}
	}
	return out
}

func (x *Index) publishMaterial(key compile.MaterialKey, out *Changes) {
	delete(x.changes.materials, key)
	switch m := x.materials[key]; {
	case m == nil || m.profiles == 0:
		out.removedMaterials = append(out.removedMaterials, key)
	case m.good == nil:
		out.retainedMaterials = append(out.retainedMaterials, key)
	default:
		out.materials = append(out.materials, m.good)
	}
}

// NamespacesWith returns the namespaces whose label has the value, sorted.
func (x *Index) NamespacesWith(label, value string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []string
	for name, ns := range x.namespaces {
		if ns.exists && ns.labels[label] == value {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
