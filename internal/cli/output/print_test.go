package output

import (
	"bytes"
	"encoding/json"
	"testing"

	"sigs.k8s.io/yaml"
)

// Values are harmless for a terminal, and JSON is the same for whoever parses it.
func TestValuesAreHarmlessAndTheSame(t *testing.T) {
	const in = "a\x1b[2J\u009b31m\x7f\u202e\U000e0001 größe"
	for _, f := range []Format{JSON, YAML} {
		var out bytes.Buffer
		if err := Value(NewWriter(&out), f, map[string]string{"v": in}); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		if f == YAML { // in which what is shown of a plain scalar is not what it is
			if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
				t.Errorf("%q: %v", out.String(), err)
			}
		} else if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["v"] != in {
			t.Errorf("%q, %v", got["v"], err)
		}
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r != '\n' && acts(r) }); i >= 0 {
			t.Errorf("%s prints %q", f, out.String())
		}
	}
}

func TestALineOfJSONStaysJSON(t *testing.T) {
	const value = "a\x7fb\U000E0001c\u202ed\ne"
	text, err := JSONLine(map[string]string{"a": value})
	if err != nil || Text(text) != text {
		t.Fatalf("%q, %v", text, err)
	}
	var v map[string]string
	if err := json.Unmarshal([]byte(text), &v); err != nil || v["a"] != value {
		t.Errorf("%s is %q, %v", text, v, err)
	}
}
