package wire

// partBytes is the payload one part of an update carries at most, unless a single resource is larger: well under MaxMessage,
// with room for names and framing.
const partBytes = 1 << 20

// partRefs bounds the references in one part, for the same reason.
const partRefs = 1024

// Split cuts u into parts that fit a message. The parts share the nonce; SnapshotComplete is on the last one. There is always
// at least one part.
func (u Update) Split() []Update {
	var parts []Update
	part := Update{Nonce: u.Nonce, More: true, Deltas: u.Deltas, Grants: u.Grants} // which the first part has
	size, count := 0, 0
	flush := func() {
		parts = append(parts, part)
		part, size, count = Update{Nonce: u.Nonce, More: true, Deltas: u.Deltas}, 0, 0
	}
	for _, r := range u.Set {
		if count > 0 && (size+len(r.Payload) > partBytes || count >= partRefs) {
			flush()
		}
		part.Set = append(part.Set, r)
		size += len(r.Payload)
		count++
	}
	for _, ref := range u.Removed {
		if count >= partRefs {
			flush()
		}
		part.Removed = append(part.Removed, ref)
		count++
	}
	part.More, part.SnapshotComplete = false, u.SnapshotComplete
	return append(parts, part)
}

// Size is about how many bytes u takes in messages.
func (u Update) Size() int {
	size := 0
	for _, r := range u.Set {
		size += len(r.Ref.Name) + VersionSize
		if d := u.Deltas[r.Ref]; d != nil && d.Patch() != nil {
			size += d.Patch().size()
		} else {
			size += len(r.Payload)
		}
	}
	for _, ref := range u.Removed {
		size += len(ref.Name)
	}
	return size
}
