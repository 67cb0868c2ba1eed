package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSource answers with what it was asked.
type fakeSource struct {
	asked   []any
	watched chan func(...model.Topic)
	tapped  func(ctx context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error
}

func (f *fakeSource) Cluster(context.Context) (*model.Cluster, error) {
	return &model.Cluster{Part: model.Part{At: time.Now()}, Version: "v1"}, nil
}

func (f *fakeSource) Overview(_ context.Context, q dashboard.OverviewQuery) (*model.Overview, error) {
	f.asked = append(f.asked, q)
	return &model.Overview{}, nil
}

func (f *fakeSource) Policies(context.Context) (*model.Policies, error) {
	return nil, errors.New("list policies: refused")
}

func (f *fakeSource) Policy(_ context.Context, name string, since time.Duration) (*model.Policy, error) {
	f.asked = append(f.asked, name, since)
	return nil, &dashboard.NotFoundError{Err: errors.New("there is no policy")}
}

func (f *fakeSource) Destination(_ context.Context, name string, since time.Duration) (*model.Destination, error) {
	f.asked = append(f.asked, name, since)
	return &model.Destination{Name: name}, nil
}

func (f *fakeSource) Changes(_ context.Context, q dashboard.ChangesQuery) (*model.Changes, error) {
	f.asked = append(f.asked, q)
	return &model.Changes{}, nil
}

func (f *fakeSource) Breakers(context.Context) (*model.Breakers, error) {
	return &model.Breakers{}, nil
}
func (f *fakeSource) Nodes(context.Context) (*model.Nodes, error) { return &model.Nodes{}, nil }
func (f *fakeSource) Problems(context.Context) (*model.Problems, error) {
	return &model.Problems{}, nil
}

func (f *fakeSource) Watch(ctx context.Context, changed func(...model.Topic)) {
	f.watched <- changed
	<-ctx.Done()
}

func (f *fakeSource) Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error {
	return f.tapped(ctx, q, each, troubles)
}

var pages = fstest.MapFS{
	"index.html": {Data: []byte("<!doctype html>")}, "app.js": {Data: []byte("go()")}, "notes.bin": {Data: []byte("no")},
}

const token = "SECRET"

func handler(t *testing.T, f *fakeSource, change func(*dashboard.Options)) (*dashboard.Server, http.Handler) {
	t.Helper()
	o := dashboard.Options{Source: f, Assets: pages, Token: token}
	if change != nil {
		change(&o)
	}
	s, err := dashboard.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Handler()
}

func ask(h http.Handler, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	r.Host = "127.0.0.1:7000"
	if change != nil {
		change(r)
	}
	h.ServeHTTP(w, r)
	return w
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestWhoIsAnswered(t *testing.T) {
	_, h := handler(t, &fakeSource{}, func(o *dashboard.Options) { o.Hosts = []string{"fairlead.example"} })
	api := "/" + token + "/" + model.ClusterPath
	for name, tc := range map[string]struct {
		path   string
		change func(*http.Request)
		status int
	}{
		"the page":                          {"/" + token + "/", nil, 200},
		"what it asks for":                  {api, set("Sec-Fetch-Site", "same-origin"), 200},
		"without the slash":                 {"/" + token, nil, 301},
		"by IPv6":                           {api, func(r *http.Request) { r.Host = "[::1]:7000" }, 200},
		"by the name of the machine itself": {api, func(r *http.Request) { r.Host = "localhost:7000" }, 200},
		"by a name that was given":          {api, func(r *http.Request) { r.Host = "Fairlead.example" }, 200},
		"by a link on another site": {"/" + token + "/", func(r *http.Request) {
			set("Sec-Fetch-Site", "cross-site")(r)
			set("Sec-Fetch-Mode", "navigate")(r)
			set("Sec-Fetch-Dest", "document")(r)
		}, 200},
		"the same origin": {api, set("Origin", "http://127.0.0.1:7000"), 200},

		"without the secret":                {"/" + model.ClusterPath, nil, 404},
		"with another secret":               {"/SECREX/" + model.ClusterPath, nil, 404},
		"with a part of it":                 {"/SECRE/" + model.ClusterPath, nil, 404},
		"by a name that resolves to us":     {api, func(r *http.Request) { r.Host = "evil.example:7000" }, 403},
		"by no name":                        {api, func(r *http.Request) { r.Host = "" }, 403},
		"by the address of another machine": {api, func(r *http.Request) { r.Host = "192.0.2.1" }, 403},
		"a page of another site":            {api, set("Sec-Fetch-Site", "cross-site"), 403},
		"a page of another port":            {api, set("Sec-Fetch-Site", "same-site"), 403},
		"a script of another site":          {api, set("Origin", "http://evil.example"), 403},
		"a script of another port":          {api, set("Origin", "http://127.0.0.1:7001"), 403},
		"a frame of another site": {"/" + token + "/", func(r *http.Request) {
			set("Sec-Fetch-Site", "cross-site")(r)
			set("Sec-Fetch-Mode", "navigate")(r)
			set("Sec-Fetch-Dest", "iframe")(r)
		}, 403},
		"who wants to write":                 {api, func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"a file that there is not":           {"/" + token + "/none.js", nil, 404},
		"a file above the pages":             {"/" + token + "/../assets.go", nil, 307},
		"a file of a kind that pages do not": {"/" + token + "/notes.bin", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, tc.path, tc.change)
			if w.Code != tc.status {
				t.Errorf("answered %d: %s", w.Code, w.Body)
			}
			var p model.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); tc.status >= 400 && (err != nil || p.Message == "") {
				t.Errorf("the refusal is no sentence: %s", w.Body)
			}
			csp := w.Header().Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
				w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("header %v", w.Header())
			}
		})
	}
}

func TestBehindAProxyThereIsNoSecret(t *testing.T) {
	_, h := handler(t, &fakeSource{}, func(o *dashboard.Options) { o.Token, o.Hosts = "", []string{"fairlead.example"} })
	for host, status := range map[string]int{"fairlead.example": 200, "evil.example": 403} {
		if w := ask(h, "/"+model.ClusterPath, func(r *http.Request) { r.Host = host }); w.Code != status {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
	if _, err := dashboard.New(dashboard.Options{Source: &fakeSource{}, Assets: pages}); err == nil {
		t.Error("it is open to everybody by an omission")
	}
}

func TestAnAddressThatCanBeUsedOnce(t *testing.T) {
	s, h := handler(t, &fakeSource{}, nil)
	once := "/" + s.Once()
	if w := ask(h, once, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/"+token+"/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := ask(h, once, nil); w.Code != http.StatusNotFound {
		t.Errorf("a second time: %d", w.Code)
	}
	if w := ask(h, "/", nil); w.Code != http.StatusNotFound {
		t.Errorf("without: %d", w.Code)
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	for path, tc := range map[string]struct {
		want   []any
		status int
		says   string
	}{
		model.OverviewPath: {[]any{dashboard.OverviewQuery{Since: 10 * time.Minute, Limit: 500}}, 200, ""},
		model.OverviewPath + "?since=1h&namespace=shop&workload=web&policy=a/b&destination=c&limit=7": {
			[]any{dashboard.OverviewQuery{Since: time.Hour, Namespace: "shop", Workload: "web", Policy: "a/b", Destination: "c", Limit: 7}}, 200, ""},
		model.ChangesPath + "?kind=BreakerOpened&node=n&policy=p&limit=1": {
			[]any{dashboard.ChangesQuery{Since: 10 * time.Minute, Policy: "p", Node: "n", Kind: "BreakerOpened", Limit: 1}}, 200, ""},
		model.DestinationPath + "?name=a%2Fb%3A80&since=20s": {[]any{"a/b:80", 20 * time.Second}, 200, ""},
		model.PolicyPath + "?name=a/b":                       {[]any{"a/b", 10 * time.Minute}, 404, "there is no policy"},
		model.PolicyPath:                                     {nil, 400, "name is needed"},
		model.OverviewPath + "?since=2h":                     {nil, 400, "write a duration"},
		model.OverviewPath + "?limit=0":                      {nil, 400, "write a number"},
		model.OverviewPath + "?nme=x":                        {nil, 400, "there is no parameter"},
		model.PoliciesPath:                                   {nil, 502, "list policies: refused"},
		model.CallsPath + "?rate=5000":                       {nil, 400, "rate"},
	} {
		f := &fakeSource{}
		_, h := handler(t, f, nil)
		w := ask(h, "/"+token+"/"+path, nil)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if len(f.asked) != len(tc.want) {
			t.Errorf("%s: asked %v", path, f.asked)
			continue
		}
		for i := range tc.want {
			if f.asked[i] != tc.want[i] {
				t.Errorf("%s: asked %+v, want %+v", path, f.asked[i], tc.want[i])
			}
		}
	}
}

// An answer that says the same again, at another time, is not sent again.
func TestWhatHasNotChangedIsNotSentAgain(t *testing.T) {
	_, h := handler(t, &fakeSource{}, nil)
	path := "/" + token + "/" + model.ClusterPath
	tag := ask(h, path, nil).Header().Get("ETag")
	_, other := handler(t, &fakeSource{}, nil) // which keeps no answer of the first
	if w := ask(other, path, set("If-None-Match", `"x", W/`+tag)); tag == "" || w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("%q: %d %s", tag, w.Code, w.Body)
	}
	if w := ask(h, path, set("If-None-Match", `"x"`)); w.Code != http.StatusOK {
		t.Errorf("another tag: %d", w.Code)
	}
	page := ask(h, "/"+token+"/app.js", nil)
	if w := ask(h, "/"+token+"/app.js", set("If-None-Match", page.Header().Get("ETag"))); w.Code != http.StatusNotModified {
		t.Errorf("a file: %d", w.Code)
	}
}
