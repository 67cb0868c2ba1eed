package doctor

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/liveapi"
)

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchorOf is that of a heading, as it is made where pages are published.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

func TestThePagesThatExplainFindingsExist(t *testing.T) {
	for _, p := range pages {
		name, anchor := p.file()
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", name))
		if err != nil {
			t.Error(err)
			continue
		}
		found := anchor == ""
		for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
			found = found || anchorOf(m[1]) == anchor
		}
		if !found {
			t.Errorf("%s has no part %s", name, anchor)
		}
	}
}

// Every reason that has a fix has one in words, and a page.
func TestEveryFixSaysWhatToDoAndWhere(t *testing.T) {
	for _, table := range []map[string]remedy{fixes, unenforcedFixes} {
		for reason, r := range table {
			if r.do == "" || r.see == "" {
				t.Errorf("%s: %+v", reason, r)
			}
		}
	}
	k := checker{Report: &Report{}}
	k.env, _, _ = clitest.Env(t)
	if r := k.fix("SomethingNew"); r.do == "" || r.see != pageRefused {
		t.Errorf("%+v", r)
	}
	if r := unenforced("SomethingNew"); r.see != pageNotEnforced {
		t.Errorf("%+v", r)
	}
	if r := unenforced(v1alpha1.ReasonTLSNotTrusted); r.see != pageTrust {
		t.Errorf("%+v", r)
	}
}

func TestAClockIsOffByWhatLiesOutsideOfTheQuestion(t *testing.T) {
	asked := clitest.Now
	answered := asked.Add(10 * time.Second)
	for at, want := range map[time.Time]time.Duration{
		asked: 0, answered: 0, asked.Add(5 * time.Second): 0, asked.Add(-time.Second): -time.Second, answered.Add(2 * time.Minute): 2 * time.Minute,
	} {
		if got := read("x", at, asked, answered); got.by != want {
			t.Errorf("at %s: %s, want %s", at, got.by, want)
		}
	}
}

func TestTheClockHereIsOffWhereAllOthersAgree(t *testing.T) {
	k := &checker{}
	of := func(by ...time.Duration) (all, off []reading) {
		for _, d := range by {
			all = append(all, reading{"x", d})
			if d.Abs() > clockSkew {
				off = append(off, reading{"x", d})
			}
		}
		return all, off
	}
	for _, tc := range []struct {
		by   []time.Duration
		here bool
	}{
		{[]time.Duration{time.Hour, time.Hour + time.Second, time.Hour - 30*time.Second}, true},
		{[]time.Duration{-time.Hour, -time.Hour}, true},
		{[]time.Duration{time.Hour}, false},                // it may be the other's
		{[]time.Duration{time.Hour, 0}, false},             // one agrees with the one here
		{[]time.Duration{time.Hour, 2 * time.Hour}, false}, // each says something else
		{[]time.Duration{time.Hour, -time.Hour}, false},
		{nil, false},
	} {
		if _, here := k.wrongHere(of(tc.by...)); here != tc.here {
			t.Errorf("%v: %t", tc.by, here)
		}
	}
}

func TestManyFindingsOfAKindAreCounted(t *testing.T) {
	k := &checker{Report: &Report{}}
	b := bounded{k: k}
	for i := range mostFindings + 3 {
		b.add(Problem, remedy{}, "%d", i)
	}
	b.end(Problem, "pod", "pods")
	if n := len(k.Findings); n != mostFindings+1 || k.Findings[n-1].What != "and 3 more pods" || k.Problems != mostFindings+1 {
		t.Errorf("%d findings, the last %+v", n, k.Findings[n-1])
	}
	few := &checker{Report: &Report{}}
	b = bounded{k: few}
	b.add(Warning, remedy{}, "one")
	if b.end(Warning, "pod", "pods"); len(few.Findings) != 1 {
		t.Errorf("%+v", few.Findings)
	}
}

func TestSomeOfMany(t *testing.T) {
	for want, n := range map[string]int{"": 0, "0": 1, "0 and 1": 2, "0, 1 and 2": 3, "0, 1, 2 and 97 more": 100} {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprint(i))
		}
		if got := some(all); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// Of two agents of a node, one of which is on its way out, the one that has a pod is believed.
func TestAPodThatOneAgentHasIsCaptured(t *testing.T) {
	with := func(states ...liveapi.CaptureState) *checker {
		k := &checker{}
		for _, s := range states {
			var a agent
			a.node.Pod = podOn("node-1")
			a.captures.Value.Items = []liveapi.Capture{{UID: "1", Pod: "shop/a", State: s}}
			k.live.agents = append(k.live.agents, a)
		}
		return k
	}
	for _, states := range [][]liveapi.CaptureState{
		{liveapi.CaptureElsewhere, liveapi.CaptureDone}, {liveapi.CaptureDone, liveapi.CaptureElsewhere}, {liveapi.CaptureEnds, liveapi.CaptureDone},
		{liveapi.CaptureDone},
	} {
		if all, known := with(states...).captures(); len(all) != 1 || !known || all[0].State != liveapi.CaptureDone {
			t.Errorf("%v: %+v", states, all)
		}
	}
	if all, known := with().captures(); len(all) != 0 || known {
		t.Errorf("without agents: %+v, known %t", all, known)
	}
}

// Images of one version are of one version by whatever digests they are pinned, as those of a release are. What has no tag does not say.
func TestVersionsAreCompared(t *testing.T) {
	const a, b = "@sha256:aaaa", "@sha256:bbbb"
	for _, tc := range []struct {
		manager, agents string
		want            Result
	}{
		{"registry.example:5000/tools/manager:1.2.3" + a, "registry.example:5000/tools/agent:1.2.3" + b, OK},
		{"registry.example/manager:1.2.3", "registry.example/agent:1.2.3" + b, OK},
		{"registry.example/manager:1.2.4" + a, "registry.example/agent:1.2.3" + b, Warning},
		{"registry.example:5000/manager" + a, "registry.example:5000/agent" + b, Unknown},
		{"registry.example:5000/manager", "registry.example/agent:1.2.3", Unknown},
	} {
		k := &checker{Report: &Report{}}
		if k.versions(tag(tc.manager), tag(tc.agents)); len(k.Findings) != 1 || k.Findings[0].Result != tc.want {
			t.Errorf("%s, %s: %+v", tc.manager, tc.agents, k.Findings)
		}
	}
}

// Agents that hang cost half a minute, however many they are, and what the API server shows is checked all the same.
func TestWhatHangsIsUnknownAndTheRestIsChecked(t *testing.T) {
	env, _, _ := clitest.Env(t, well, authority(t, clitest.Now.AddDate(1, 0, 0)))
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	hangs := func(*corev1.Pod, uint16) (*http.Client, func(), error) {
		return &http.Client{Transport: hanging{}}, func() {}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := Check(t.Context(), Options{Env: env, Client: c, Ask: ask.New(env, c, hangs)})
		if took := time.Since(began); took != gathering {
			t.Errorf("it took %s", took)
		}
		results := map[string]Result{}
		for _, f := range r.Findings {
			results[f.Group] = f.Result
		}
		if results["installation"] != OK || results["policies"] != OK || results["kernel"] != Unknown || results["nodes"] != Unknown || r.Problems != 0 {
			t.Errorf("%+v", r.Findings)
		}
	})
}

// hanging is a transport to what never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
