package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli/output"
)

var errAway = errors.New("connection refused") //nolint:gochecknoglobals // what tests compare with

func forbiddenPolicies() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "retrypolicies"}, "", errors.New("no right"))
}

// look is what a listing finds at one look: an error, or rows, each with a key and a cell.
type look struct {
	err    error
	text   string
	rows   [][2]string
	unread []string
	maybe  string // the key of a row that may be there
}

// watchLooks runs a listing with --watch that finds one look after the other, a second apart.
func watchLooks(t *testing.T, l Listing, looks ...look) (out, says string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var o, e bytes.Buffer
		l.env = NewEnv(genericiooptions.IOStreams{Out: &o, ErrOut: &e})
		l.Watch, l.Every = true, time.Second
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		err = l.Run(ctx, nil, func(context.Context) (*Found, error) {
			if n == len(looks) {
				cancel()
				return nil, ctx.Err()
			}
			at := looks[n]
			n++
			return at.found(), at.err
		})
		out, says = o.String(), e.String()
	})
	return out, says, err
}

func (l *look) found() *Found {
	f := &Found{Text: l.text, Unread: l.unread, Table: output.Table{Columns: output.Columns("NAME", "STATE"), None: "There is none."}, Value: l.rows}
	for _, r := range l.rows {
		f.Rows = append(f.Rows, output.Row{Name: "row/" + r[0], Key: r[0], Cells: r[:]})
	}
	if l.maybe != "" {
		f.MayBe = func(r *output.Row) bool { return r.Key == l.maybe }
	}
	return f
}

// With --watch rows are printed with what has become of them: as kubectl does with --output-watch-events.
func TestWatchedRowsHaveEvents(t *testing.T) {
	const both = "[\n  [\n    \"a\",\n    \"open\"\n  ],\n  [\n    \"b\",\n    \"open\"\n  ]\n]\n"
	for name, tc := range map[string]struct {
		l         Listing
		looks     []look
		out, says string
	}{
		"rows come, change and go": {
			looks: []look{
				{rows: [][2]string{{"a", "open"}, {"b", "open"}}}, {rows: [][2]string{{"a", "open"}, {"b", "open"}}}, {rows: [][2]string{{"b", "closed"}, {"c", "open"}}}, {}, {},
			},
			out: `EVENT   NAME   STATE
ADDED   a      open
ADDED   b      open
MODIFIED   b     closed
ADDED      c     open
DELETED    a     open
DELETED   b     closed
DELETED   c     open
`,
		},
		"none is there at first": {
			looks: []look{{}, {rows: [][2]string{{"a", "open"}}}},
			out:   "EVENT   NAME   STATE\nADDED   a      open\n", says: "There is none.\n",
		},
		"names": {
			l:     Listing{Output: "name"},
			looks: []look{{rows: [][2]string{{"a", "open"}}}, {}},
			out:   "row/a\nrow/a\n",
		},
		"values": {
			l:     Listing{Output: "json"},
			looks: []look{{rows: [][2]string{{"a", "open"}}}, {rows: [][2]string{{"a", "open"}}}, {rows: [][2]string{}}},
			out:   "[\n  [\n    \"a\",\n    \"open\"\n  ]\n]\n[]\n",
		},
		"values without what may be there": {
			l: Listing{Output: "json"},
			looks: []look{
				{rows: [][2]string{{"a", "open"}, {"b", "open"}}}, {rows: [][2]string{{"b", "open"}}, maybe: "a"}, {rows: [][2]string{{"b", "open"}}, maybe: "a"},
				{rows: [][2]string{{"a", "open"}, {"b", "open"}}},
			},
			out: both + "[\n  [\n    \"b\",\n    \"open\"\n  ]\n]\n" + both,
		},
		"text alone": {
			looks: []look{{text: "1 ready\n"}, {text: "1 ready\n"}, {text: "2 ready\n"}},
			out:   "1 ready\n2 ready\n", says: "There is none.\n",
		},
		"what has happened": {
			l:     Listing{Past: true, NoHeaders: true},
			looks: []look{{rows: [][2]string{{"a", "open"}}}, {rows: [][2]string{{"b", "closed"}, {"a", "open"}}}, {rows: [][2]string{{"b", "-"}}}},
			out:   "a     open\nb     closed\n",
		},
		"what may be there is not gone": {
			l: Listing{NoHeaders: true},
			looks: []look{
				{rows: [][2]string{{"a", "open"}, {"b", "open"}}}, {unread: []string{"no a"}, maybe: "a"}, {unread: []string{"no a"}, maybe: "a"},
				{rows: [][2]string{{"a", "open"}}}, {unread: []string{"no a"}, maybe: "a"}, {},
			},
			out: "ADDED   a     open\nADDED   b     open\nDELETED   b     open\nDELETED   a     open\n", says: "not among it: no a\nnot among it: no a\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, says, err := watchLooks(t, tc.l, tc.looks...)
			if diff := cmp.Diff(tc.out, out); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
			if says != tc.says {
				t.Errorf("says %q", says)
			}
		})
	}
}

// What fails and passes is said once and does not end the watch; the first look and what does not pass do.
func TestAFailedLookIsMadeAgain(t *testing.T) {
	one := look{rows: [][2]string{{"a", "open"}}}
	away, refused := look{err: errAway}, look{err: fmt.Errorf("list: %w", forbiddenPolicies())}
	out, says, err := watchLooks(t, Listing{NoHeaders: true}, one, away, away, away, look{}, away, one, away, refused)
	if !apierrors.IsForbidden(err) {
		t.Errorf("ended with %v", err)
	}
	if want := "ADDED   a     open\nDELETED   a     open\nADDED   a     open\n"; out != want {
		t.Errorf("printed\n%s", out)
	}
	once := "Not read, and read again until that succeeds: connection refused\nRead again.\n"
	if says != once+once+"Not read, and read again until that succeeds: connection refused\n" {
		t.Errorf("says %q", says)
	}
	if _, _, err := watchLooks(t, Listing{}, away); !errors.Is(err, errAway) {
		t.Errorf("the first look: %v", err)
	}
}

// It is looked less and less often while that fails, and as often as before when it has succeeded.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		a := &Again{says: io.Discard}
		err := a.Until(t.Context(), func() error {
			if at = append(at, time.Now()); len(at) < 10 {
				return errAway
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, least := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30, 30} {
			if pause := at[i+1].Sub(at[i]); pause < least*time.Second || pause > least*time.Second*11/10 {
				t.Errorf("pause %d is %s", i, pause)
			}
		}
	})
}

// A watch that the server ends is opened again, what may have been missed is looked at, and a right that is lost ends it.
func TestAWatchIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var says bytes.Buffer
		w := &watched{changes: make(chan struct{}, 1), failed: make(chan error, 1), again: &Again{says: &says}}
		first := watch.NewFake()
		opens := []func() (watch.Interface, error){
			func() (watch.Interface, error) { return nil, errAway },
			func() (watch.Interface, error) { second := watch.NewFake(); second.Stop(); return second, nil },
			func() (watch.Interface, error) { return nil, forbiddenPolicies() },
		}
		go w.follow(t.Context(), first, func() (watch.Interface, error) {
			open := opens[0]
			opens = opens[1:]
			return open()
		})
		first.Stop()
		if !w.next(t.Context()) {
			t.Fatalf("it has ended: %v", w.err)
		}
		if w.next(t.Context()) || !apierrors.IsForbidden(w.err) {
			t.Errorf("it goes on, or has ended with %v", w.err)
		}
		if got := says.String(); got != "Not read, and read again until that succeeds: watch policies: connection refused\nRead again.\n" {
			t.Errorf("says %q", got)
		}
	})
}

// refuses is an error that says of itself whether it stays.
type refuses bool

func (refuses) Error() string   { return "refused" }
func (r refuses) Lasting() bool { return bool(r) }

func TestWhatStays(t *testing.T) {
	for _, tc := range []struct {
		err   error
		stays bool
	}{
		{forbiddenPolicies(), true}, {apierrors.NewUnauthorized("who?"), true}, {apierrors.NewBadRequest("what?"), true}, {Explain(forbiddenPolicies(), "list"), true},
		{errors.New("unable to upgrade connection: pods \"a\" is forbidden: no"), true}, {fmt.Errorf("ask: %w", refuses(true)), true},
		{fmt.Errorf("ask: %w", refuses(false)), false}, {errAway, false}, {io.EOF, false}, {apierrors.NewServiceUnavailable("later"), false},
		{apierrors.NewTooManyRequests("later", 1), false}, {apierrors.NewInternalError(errAway), false}, {apierrors.NewTimeoutError("late", 1), false},
	} {
		if got := Lasting(tc.err); got != tc.stays {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}
