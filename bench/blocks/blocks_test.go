package blocks

import (
	"reflect"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// Every block asks for something, and the last one for all of it: a block that comes to a policy's settings is measured too, or this fails.
func TestEveryBlockIsMeasured(t *testing.T) {
	all := All()
	least := all[0].Binding(policy.Target{})
	if all[0].Name != Nothing || !reflect.DeepEqual(least.Base, policy.Defaults()) {
		t.Errorf("the first is %s with %+v", all[0].Name, least.Base)
	}
	for _, b := range all[1:] {
		if reflect.DeepEqual(b.Binding(policy.Target{}), least) {
			t.Errorf("%s asks for nothing", b.Name)
		}
	}
	most := all[len(all)-1].Binding(policy.Target{})
	if all[len(all)-1].Name != Everything || len(most.Rules) == 0 || !reflect.DeepEqual(most.Rules[0].Settings, most.Base) {
		t.Errorf("the last is %s, with rules %+v", all[len(all)-1].Name, most.Rules)
	}
	// What is chosen rather than added is as it is without; faults are for calls that are to fail, and traces cost what their collector is.
	chosen := map[string]bool{"LoadBalancing": true, "AccessLog": true, "Faults": true, "Tracing": true}
	written, without := reflect.ValueOf(most.Base), reflect.ValueOf(least.Base)
	for i := range written.NumField() {
		if name := written.Type().Field(i).Name; !chosen[name] && reflect.DeepEqual(written.Field(i).Interface(), without.Field(i).Interface()) {
			t.Errorf("no block says anything of %s", name)
		}
	}
}
