package compile

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// ActiveFaults is what a policy injects at a time.
type ActiveFaults struct {
	// Until is when the last of it ends, in seconds since 1970; 0: nothing is injected.
	Until int64
	// What says what is injected, for a sentence.
	What string
	// Problem is a sentence about an end that cannot be, empty if there is none.
	Problem string
}

// Set reports whether something is injected.
func (f *ActiveFaults) Set() bool { return f.Until != 0 }

// End is Until as a time.
func (f *ActiveFaults) End() time.Time { return time.Unix(f.Until, 0).UTC() }

// problems returns what is wrong with the ends.
func (f *ActiveFaults) problems() []Problem {
	if f.Problem == "" {
		return nil
	}
	return []Problem{{v1alpha1.ReasonInvalid, f.Problem}}
}

// FaultsOf reads what the body of a policy injects. What has ended says nothing.
func FaultsOf(src *Source, m *metav1.ObjectMeta, now time.Time) (out ActiveFaults) {
	var what []string
	begun := faultsWritten(m)
	if begun.IsZero() || begun.After(now) {
		begun = now
	}
	for _, w := range faultsIn(src) {
		until, err := w.block.Until.Parse()
		switch {
		case err != nil:
			return ActiveFaults{Problem: fmt.Sprintf(
				"%s is %q, which is no time with a date and a zone (RFC 3339): write one such as 2026-11-27T10:00:00Z.", w.at, w.block.Until)}
		case !until.After(now):
		case until.Sub(begun) > policy.MaxFaultsAhead:
			return ActiveFaults{Problem: fmt.Sprintf(
				"%s is %s, more than 24 hours after it was written: write a time before %s, and write it again if that is too soon.",
				w.at, until.Format(time.RFC3339), begun.Add(policy.MaxFaults).UTC().Format(time.RFC3339))}
		default:
			out.Until = max(out.Until, until.Unix())
			what = append(what, w.describe(until))
		}
	}
	out.What = strings.Join(what[:min(len(what), maxDescribed)], "; ")
	if more := len(what) - maxDescribed; more > 0 {
		out.What += fmt.Sprintf("; and %d more", more)
	}
	return out
}

// maxDescribed is how many blocks a sentence describes.
const maxDescribed = 4

// writtenFaults is a block that injects faults, and the field in which it says until when.
type writtenFaults struct {
	at    string
	block *v1alpha1.Faults
}

// describe says what the block injects until a time.
func (w *writtenFaults) describe(until time.Time) string {
	f := faultsOf(w.block)
	var does []string
	if f.Delay > 0 {
		does = append(does, "held up for "+string(w.block.Delay.Duration))
	}
	switch f.Abort {
	case policy.FaultResponse:
		does = append(does, fmt.Sprintf("answered with %d (gRPC: %s)", f.Status, f.GRPCStatus))
	case policy.FaultReset:
		does = append(does, "reset")
	case policy.NoFaultAbort:
	}
	text := fmt.Sprintf("%d %% of attempts are %s", f.Percent, strings.Join(does, " and "))
	if rule, ok := strings.CutSuffix(w.at, ".faults.until"); ok {
		text += fmt.Sprintf(" under %s until %s", rule, until.Format(time.RFC3339))
	}
	return text
}

// faultsIn lists the blocks of a policy that inject faults.
func faultsIn(src *Source) (out []writtenFaults) {
	if src.Body == nil {
		return nil
	}
	add := func(at string, f *v1alpha1.Faults) {
		if f != nil && f.Mode != v1alpha1.SwitchDisabled {
			out = append(out, writtenFaults{src.field(at + "faults.until"), f})
		}
	}
	add("", src.Body.Faults)
	for i := range src.Body.Rules {
		add(fmt.Sprintf("rules[%s].", src.Body.Rules[i].Name), src.Body.Rules[i].Faults)
	}
	return out
}

// faultsWritten is when somebody who wrote faults into a policy wrote last.
func faultsWritten(m *metav1.ObjectMeta) (at time.Time) {
	for i := range m.ManagedFields {
		if f := &m.ManagedFields[i]; OwnsFaults(f) && f.Time != nil && f.Time.After(at) {
			at = f.Time.Time
		}
	}
	return at
}

// OwnsFaults reports whether an entry of managedFields has faults.
func OwnsFaults(f *metav1.ManagedFieldsEntry) bool {
	return f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:faults"`)
}

// faultsOf returns nil when the block is absent or switched off, or when its end cannot be read.
func faultsOf(in *v1alpha1.Faults) *policy.Faults {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled {
		return nil
	}
	until, err := in.Until.Parse()
	if err != nil || until.Unix() <= 0 {
		return nil
	}
	f := &policy.Faults{Until: until.Unix()}
	setInt(&f.Percent, in.Percent)
	if d := in.Delay; d != nil {
		setDuration(&f.Delay, d.Duration)
		setInt(&f.JitterPercent, d.JitterPercent)
	}
	if a := in.Abort; a != nil {
		setAbort(f, a)
	}
	return f
}

func setAbort(f *policy.Faults, in *v1alpha1.FaultAbort) {
	if in.Type == v1alpha1.FaultReset {
		f.Abort = policy.FaultReset
		return
	}
	f.Abort, f.Status = policy.FaultResponse, policy.DefaultFaultStatus
	setInt(&f.Status, in.StatusCode)
	f.GRPCStatus = policy.GRPCStatusOfHTTP(f.Status)
	if n, ok := grpcNumber(in.GRPCStatus); ok {
		f.GRPCStatus = n
	}
}
