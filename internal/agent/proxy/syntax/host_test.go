package syntax

import "testing"

// TestHosts: what may be in Host and :authority, and which of it names a port.
func TestHosts(t *testing.T) {
	for host, want := range map[string]struct{ host, port bool }{
		"":                {true, false},
		"a.example":       {true, false},
		"a.example:80":    {true, true},
		"a_b:0":           {true, false},
		"a:65536":         {true, false},
		"a:123456":        {false, false},
		"a:":              {true, false},
		":80":             {true, false},
		"10.0.0.1:8080":   {true, true},
		"[::1]":           {true, false},
		"[::1]:443":       {true, true},
		"[::1":            {false, false},
		"[]":              {false, false},
		"[::1]x":          {false, false},
		"a,b":             {false, false},
		"u@a":             {false, false},
		"a b":             {false, false},
		"a/b":             {false, false},
		"a:8x":            {false, false},
		"%41.example:443": {true, true},
	} {
		if got := IsHost([]byte(host)); got != want.host {
			t.Errorf("IsHost(%q) is %v", host, got)
		}
		if got := want.host && NamesPort([]byte(host)); got != want.port {
			t.Errorf("NamesPort(%q) is %v", host, got)
		}
	}
}

// TestSchemesAndLengths of RFC 3986 section 3.1 and RFC 9110 section 8.6.
func TestSchemesAndLengths(t *testing.T) {
	for scheme, want := range map[string]bool{"http": true, "h2+x.y-z": true, "1http": false, "+": false, "ht tp": false, "http:": false} {
		if got := IsScheme([]byte(scheme)); got != want {
			t.Errorf("IsScheme(%q) is %v", scheme, got)
		}
	}
	for length, want := range map[string]int64{"0": 0, "007": 7, "922337203685477579": 922337203685477579, "": -1, "+1": -1, "1 ": -1,
		"99999999999999999999": -1} {
		got, ok := ParseLength([]byte(length))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("ParseLength(%q) is %d", length, got)
		}
	}
}
