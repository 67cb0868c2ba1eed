package v1alpha1

// Mode says whether a policy acts on calls.
// +kubebuilder:validation:Enum=Enforce;DryRun;Disabled
type Mode string

const (
	// ModeEnforce acts on every call the policy governs.
	ModeEnforce Mode = "Enforce"
	// ModeDryRun decides on live calls and reports what it would have done, but
	// leaves them to the policies that are enforced, or unchanged.
	ModeDryRun Mode = "DryRun"
	// ModeDisabled keeps the object but governs nothing, as if it were deleted.
	ModeDisabled Mode = "Disabled"
)

// Switch turns an inherited block off, or states that it is on. A merge cannot
// remove what an earlier policy set, so blocks that are off unless written can
// be switched off again by a later policy.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Switch string

const (
	// SwitchEnabled states that the block is in force; the same as not setting it.
	SwitchEnabled Switch = "Enabled"
	// SwitchDisabled turns the block off, also when an earlier policy set it.
	SwitchDisabled Switch = "Disabled"
)
