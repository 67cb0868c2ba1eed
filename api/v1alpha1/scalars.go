package v1alpha1

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Duration is a length of time as in Gateway API (GEP-2257): one to four whole
// numbers with the units h, m, s or ms, such as 100ms, 2s or 1m30s.
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="write whole numbers with units, such as 500ms, 2s or 1m30s"
type Duration string

// Parse returns the length of time d stands for. It accepts exactly what the
// API server accepts; "" (not set) is an error.
func (d Duration) Parse() (time.Duration, error) {
	// GEP-2257: "a Duration MUST match ^([0-9]{1,5}(h|m|s|ms)){1,4}$", which
	// makes it a subset of what time.ParseDuration reads, and too small to overflow it.
	if !durationPattern.MatchString(string(d)) {
		return 0, fmt.Errorf("duration %q: write whole numbers with units h, m, s or ms, such as 1m30s", string(d))
	}
	return time.ParseDuration(string(d))
}

var durationPattern = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// Timestamp is a point in time with its zone, as RFC 3339 has it: 2026-11-27T10:00:00Z.
// +kubebuilder:validation:MaxLength=35
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$')",message="write a time with a date and a zone (RFC 3339), such as 2026-11-27T10:00:00Z"
type Timestamp string

// Parse returns the time that t stands for, in whole seconds and UTC. "" (not set) is an error, and so is a day or an hour that there is not.
func (t Timestamp) Parse() (time.Time, error) {
	at, err := time.Parse(time.RFC3339, string(t))
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q: write one with a date and a zone (RFC 3339), such as 2026-11-27T10:00:00Z", string(t))
	}
	return at.Truncate(time.Second).UTC(), nil
}

// Window is the length of a sliding window of time, a Duration from 1s to 10m.
// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="write a window from 1s to 10m"
type Window Duration

// Parse returns the length of time w stands for.
func (w Window) Parse() (time.Duration, error) { return Duration(w).Parse() }

// Factor is a decimal number written as a string, such as "2" or "1.5", with at
// most three digits on either side of the point.
// +kubebuilder:validation:MaxLength=7
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,3}([.][0-9]{1,3})?$')",message="write a decimal number in quotes, such as '2' or '1.5'"
type Factor string

// Parse returns the number f stands for; "" (not set) is an error.
func (f Factor) Parse() (float64, error) {
	if !factorPattern.MatchString(string(f)) {
		return 0, fmt.Errorf("factor %q: write a decimal number such as 2 or 1.5", string(f))
	}
	return strconv.ParseFloat(string(f), 64)
}

var factorPattern = regexp.MustCompile(`^[0-9]{1,3}([.][0-9]{1,3})?$`)

// Host is a DNS name in lower case such as api.example.com, a wildcard for the
// whole left-most label such as *.example.com (which also covers deeper names,
// but not example.com itself), or * for every name.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="!self.contains('*') || self == '*' || (self.startsWith('*.') && self.lastIndexOf('*') == 0)",message="a wildcard stands for the whole left-most label: write *.example.com, or * for every host"
// +kubebuilder:validation:XValidation:rule="!isIP(self)",message="an address is not a host: write it as cidr, such as cidr: {block: 203.0.113.7/32}"
// +kubebuilder:validation:XValidation:rule="isIP(self) || self.replace('*', 'x').matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="write a lower-case DNS name such as api.example.com, without scheme, port, path or trailing dot"
type Host string

// HeaderName is the name of an HTTP header field; case does not matter.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9!#$%&\\'*+.^_`|~-]+$')",message="write a header field name such as X-Request-Id, without colon or spaces"
type HeaderName string

// StatusCode is an HTTP error status: one code such as 503, a range such as
// 502-504, or a class, 4xx or 5xx.
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:Type=""
// +kubebuilder:validation:MaxLength=7
// +kubebuilder:validation:XValidation:rule="type(self) == int ? (int(self) >= 400 && int(self) <= 599) : self.matches('^([45]xx|[45][0-9][0-9](-[45][0-9][0-9])?)$')",message="write 4xx, 5xx, one code such as 503, or a range such as 502-504, within 400-599"
// +kubebuilder:validation:XValidation:rule="type(self) == int || !self.matches('^[0-9]{3}-[0-9]{3}$') || int(self.substring(0, 3)) <= int(self.substring(4))",message="write the lower code of a range first, such as 502-504"
type StatusCode string

// UnmarshalJSON also reads a code that was written as a number: [503] is what
// people write first.
func (c *StatusCode) UnmarshalJSON(data []byte) error {
	var v intstr.IntOrString
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*c = StatusCode(v.String())
	return nil
}

// GRPCStatus is the name of a gRPC status; OK is not one of them.
// +kubebuilder:validation:Enum=CANCELLED;UNKNOWN;INVALID_ARGUMENT;DEADLINE_EXCEEDED;NOT_FOUND;ALREADY_EXISTS;PERMISSION_DENIED;RESOURCE_EXHAUSTED;FAILED_PRECONDITION;ABORTED;OUT_OF_RANGE;UNIMPLEMENTED;INTERNAL;UNAVAILABLE;DATA_LOSS;UNAUTHENTICATED
type GRPCStatus string
