package compile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// through is a host that is called through a proxy, with credentials if they have a name.
func through(name, proxy, credentials string) v1alpha1.Destination {
	d := host(name)
	d.Via = &v1alpha1.Via{Proxy: proxy}
	if credentials != "" {
		d.Via.CredentialsRef = &v1alpha1.SecretReference{Name: credentials}
	}
	return d
}

func basicAuth(username, password string) map[string][]byte {
	return map[string][]byte{"username": []byte(username), "password": []byte(password)}
}

func TestCredentialsOfAProxyAreCompiled(t *testing.T) {
	there := objects{secretOf("proxy"): basicAuth("u", "p"), {Kind: v1alpha1.CABundleSecret, Name: "proxy"}: basicAuth("cluster", "p")}
	for id, want := range map[string]policy.Credentials{
		"shop/p": {Name: "shop/proxy", Username: "u", Password: "p"},
		"base":   {Name: "~/proxy", Username: "cluster", Password: "p"},
	} {
		src := Source{ID: policy.ParseID(id), To: to(through("a.example", "proxy.example:3128", "proxy")), Body: &v1alpha1.PolicyBody{}}
		p, problems := Read(src, services, there.find)
		if problems != nil {
			t.Fatal(problems)
		}
		profile := Compile("p", []*Policy{p})
		if got, want := profile.Bindings[0].To.Via, (policy.Via{Host: "proxy.example", Port: 3128, Credentials: want.Name}); got != want {
			t.Errorf("%s: %+v", id, got)
		}
		var referred []string
		for kind, name := range profile.References() {
			if kind == policy.ReferenceCredentials {
				referred = append(referred, name)
			}
		}
		if diff := cmp.Diff([]string{want.Name}, referred); diff != "" {
			t.Errorf("%s: the profile refers to %s", id, diff)
		}
		all := MaterialsOf(&src, there.find)
		if len(all) != 1 || all[0].Credentials == nil || *all[0].Credentials != want || all[0].Kind != policy.ReferenceCredentials {
			t.Errorf("%s: materials %+v", id, all)
		}
		if refs := ReferencesOf(&src); len(refs) != 1 || refs[0].Name != "proxy" {
			t.Errorf("%s: references %v", id, refs)
		}
	}
}

func TestWhatIsWrongWithCredentialsIsSaid(t *testing.T) {
	const ofSecret = "to[0].via.credentialsRef: username and password of Secret x in namespace shop "
	for name, tc := range map[string]struct {
		data         map[string][]byte
		reason, want string // the message; empty: nothing is wrong
	}{
		"no Secret":     {nil, v1alpha1.ReasonReferenceNotFound, "to[0].via.credentialsRef: there is no Secret x in namespace shop; create it, or correct the name."},
		"no password":   {map[string][]byte{"username": []byte("u")}, v1alpha1.ReasonReferenceNotFound, "to[0].via.credentialsRef: Secret x in namespace shop has no entry password (it has username); add it."},
		"a colon":       {basicAuth("u:v", "p"), v1alpha1.ReasonInvalidCredentials, ofSecret + "must be text, and username must not contain a colon."},
		"no text":       {basicAuth("u", "\xff"), v1alpha1.ReasonInvalidCredentials, ofSecret + "must be text, and username must not contain a colon."},
		"a line break":  {basicAuth("u", "p\n"), v1alpha1.ReasonInvalidCredentials, ofSecret + "must not contain control characters; is there a line break at the end of one?"},
		"in the name":   {basicAuth("u\r", "p"), v1alpha1.ReasonInvalidCredentials, ofSecret + "must not contain control characters; is there a line break at the end of one?"},
		"both empty":    {basicAuth("", ""), v1alpha1.ReasonInvalidCredentials, ofSecret + "are empty; write them, or remove credentialsRef."},
		"a token alone": {basicAuth("", "token"), "", ""},
		"a colon later": {basicAuth("u", "p:q"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			there := objects{}
			if tc.data != nil {
				there[secretOf("x")] = tc.data
			}
			p, problems := Read(Source{ID: policy.ParseID("shop/p"), To: to(through("a.example", "proxy.example:3128", "x"))}, services, there.find)
			if tc.reason == "" {
				if p == nil {
					t.Error(problems)
				}
				return
			}
			if p != nil || len(problems) != 1 || problems[0] != (Problem{tc.reason, tc.want}) {
				t.Errorf("%+v", problems)
			}
		})
	}
}

// A policy about retries to one host of many must not have its calls go past the proxy, through which alone they may get anywhere.
//
//enforces:agent to[].via.mode
func TestAProxyIsTakenFromTheBroaderTargetWhereTheNarrowerSaysNothing(t *testing.T) {
	broad := through("*.example", "proxy.example:3128", "")
	elsewhere := broad
	elsewhere.Ports = []int32{8443}
	direct := host("a.example")
	direct.Via = &v1alpha1.Via{Mode: v1alpha1.SwitchDisabled, Proxy: "other.example:8080", CredentialsRef: &v1alpha1.SecretReference{Name: "none"}}
	inherited := policy.Via{Host: "proxy.example", Port: 3128}
	for name, tc := range map[string]struct {
		broad, narrow v1alpha1.Destination
		want          policy.Via
	}{
		"it says nothing":   {broad, host("a.example"), inherited},
		"it says otherwise": {broad, through("a.example", "other.example:8080", ""), policy.Via{Host: "other.example", Port: 8080}},
		"it says none":      {broad, direct, policy.Via{}},
		"on another port":   {elsewhere, host("a.example"), policy.Via{}},
		"of another host":   {through("*.test", "proxy.example:3128", ""), host("a.example"), policy.Via{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := compileAll(t, given{id: "shop/broad", level: LevelNamespace, to: to(tc.broad)}, given{id: "shop/narrow", level: LevelPods, to: to(tc.narrow)})
			found := false
			for _, b := range p.Bindings {
				if b.To.Host != "a.example" {
					continue
				}
				found = true
				if b.To.Via != tc.want {
					t.Errorf("%+v", b.To.Via)
				}
				if got := strings.Contains(b.Key, "via"); got != (tc.want != policy.Via{}) {
					t.Errorf("key %q", b.Key)
				}
			}
			if !found {
				t.Error("no binding")
			}
		})
	}
}

// A manager that comes to lead, and finds that the Secret has gone, keeps the policy's calls from being made without a proxy.
func TestALastGoodVersionKeepsItsProxy(t *testing.T) {
	src := Source{ID: policy.ParseID("shop/p"), Generation: 2, InForce: 2, To: to(through("a.example", "proxy.example:3128", "gone")), Body: &v1alpha1.PolicyBody{}}
	p := RestoreLastGood(src, services)
	if p == nil {
		t.Fatal("nothing was restored")
	}
	want := policy.Via{Host: "proxy.example", Port: 3128, Credentials: "shop/gone"}
	if got := Compile("p", []*Policy{p}).Bindings[0].To.Via; got != want {
		t.Errorf("%+v", got)
	}
}
