package screen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

// press presses keys, of which the names of special ones are in angle brackets.
func press(l *List, keys string) {
	for keys != "" {
		k := tea.KeyPressMsg{}
		if name, rest, ok := strings.Cut(strings.TrimPrefix(keys, "<"), ">"); ok && keys[0] == '<' {
			k.Code, keys = codes[name], rest
			if name == "space" {
				k.Text = " "
			}
		} else {
			k.Code, k.Text = rune(keys[0]), keys[:1]
			keys = keys[1:]
		}
		l.Update(k)
	}
}

var codes = map[string]rune{
	"up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd,
	"enter": tea.KeyEnter, "esc": tea.KeyEscape, "backspace": tea.KeyBackspace, "space": tea.KeySpace,
}

func fruit(names ...string) []Item {
	var out []Item
	for i, n := range names {
		out = append(out, Item{Key: n, Cells: []Cell{{Text: n}, {Text: fmt.Sprint(i)}}})
	}
	return out
}

func list(width, height int, names ...string) *List {
	l := &List{
		Title: "fruit", State: "fresh", None: "No fruit.", Columns: []Column{{Name: "NAME", Elastic: true}, {Name: "N", Right: true}},
		Details: func(key string) (string, []string) {
			return key, []string{"one of " + key, "two", "three", "four", "five"}
		},
	}
	l.Update(tea.WindowSizeMsg{Width: width, Height: height})
	l.Set(fruit(names...))
	return l
}

func TestKeys(t *testing.T) {
	names := []string{"apple", "banana", "cherry", "date", "elder", "fig", "grape"}
	for name, tc := range map[string]struct{ keys, want string }{
		"at first":                {"", "apple"},
		"down":                    {"j<down>", "cherry"},
		"up at the top":           {"k<up>", "apple"},
		"to the end":              {"G<down>", "grape"},
		"and back":                {"<end><home>", "apple"},
		"pages":                   {"<pgdown><pgdown><pgup>", "date"},
		"a filter":                {"/RR<enter>", "cherry"},
		"of several words":        {"/e<space>g<enter>", "grape"},
		"that is given up":        {"/rr<esc>", "apple"},
		"that is taken away":      {"/rr<enter><esc><end>", "grape"},
		"that is corrected":       {"/rrx<backspace><enter>", "cherry"},
		"that is left empty":      {"/<backspace>j", "banana"},
		"that lets none through":  {"/xyz<enter>", ""},
		"with letters of keys":    {"/q<esc>jj", "cherry"},
		"the list under details":  {"j<enter>jjj<esc>", "banana"},
		"details of nothing":      {"/xyz<enter><enter><esc><down>", "banana"},
		"a selection that is out": {"jj/a<enter>", "date"},
	} {
		t.Run(name, func(t *testing.T) {
			l := list(30, 7, names...)
			press(l, tc.keys)
			if got := l.Selected(); got != tc.want {
				t.Errorf("selected %q, want %q:\n%s", got, tc.want, ansi.Strip(l.View().Content))
			}
		})
	}
}

func TestKeysThatEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		before string
		key    tea.KeyPressMsg
		ends   bool
	}{
		"q":                      {"", tea.KeyPressMsg{Code: 'q', Text: "q"}, true},
		"q under details":        {"<enter>", tea.KeyPressMsg{Code: 'q', Text: "q"}, true},
		"q in a filter":          {"/", tea.KeyPressMsg{Code: 'q', Text: "q"}, false},
		"control c":              {"", tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}, true},
		"control c in a filter":  {"/x", tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}, true},
		"a key that is nobody's": {"", tea.KeyPressMsg{Code: 'x', Text: "x"}, false},
	} {
		l := list(30, 7, "apple")
		press(l, tc.before)
		cmd, _ := l.Update(tc.key)
		ends := false
		if cmd != nil {
			_, ends = cmd().(tea.QuitMsg)
		}
		if ends != tc.ends {
			t.Errorf("%s: ends is %t", name, ends)
		}
	}
}

// The selection stays with its item, and while nobody has chosen one it is the first, or of what is followed the last.
func TestTheSelectionStays(t *testing.T) {
	l := list(30, 7, "b", "c")
	l.Set(fruit("a", "b", "c"))
	if l.Selected() != "a" {
		t.Errorf("selected %s", l.Selected())
	}
	press(l, "j")
	l.Set(fruit("0", "a", "b", "c"))
	if l.Selected() != "b" {
		t.Errorf("selected %s", l.Selected())
	}
	l.Set(fruit("0", "a"))
	if l.Selected() != "a" {
		t.Errorf("with its item gone %s", l.Selected())
	}
	f := list(30, 7, "b", "c")
	f.Follow = true
	for _, step := range []struct{ keys, more, want string }{{"", "d", "d"}, {"k", "e", "c"}, {"G", "f", "f"}} {
		press(f, step.keys)
		f.Set(append(f.items, fruit(step.more)...))
		if f.Selected() != step.want {
			t.Errorf("%q, and then %s: selected %s", step.keys, step.more, f.Selected())
		}
	}
}

func TestViews(t *testing.T) {
	for name, tc := range map[string]struct {
		keys          string
		width, height int
		names         []string
		want          string
	}{
		"a list": {"j", 40, 7, []string{"apple", "banana", "cherry", "date"}, `
fruit                              fresh

  NAME    N
  apple   0
> banana  1
  cherry  2
↑↓ select  enter details  / filter  q q…`},
		"one that is filtered": {"/an", 24, 6, []string{"apple", "banana", "cherry"}, `
fruit              fresh
1 of 3 with "an"
  NAME    N
> banana  1

/an`},
		"an empty one": {"", 20, 5, nil, `
fruit          fresh

  NAME  N
  No fruit.
↑↓ select  enter de…`},
		"what is too wide": {"", 17, 5, []string{"a-pomegranate", "a"}, `
fruit       fresh

  NAME          N
> a-pomegrana…  0
↑↓ select  enter…`},
		"details": {"<enter>jj", 36, 5, []string{"apple"}, `
apple                          fresh
lines 3 to 4 of 5
three
four
↑↓ scroll  esc back  q quit`},
		"escapes": {"<enter>", 50, 4, []string{"\x1b[2Jb\u202e"}, `
\x1b[2Jb\u202e                               fresh
lines 1 to 1 of 5
one of \x1b[2Jb\u202e
↑↓ scroll  esc back  q quit`},
		"hardly any room": {"", 3, 1, []string{"apple"}, "\n↑↓…"},
	} {
		t.Run(name, func(t *testing.T) {
			l := list(tc.width, tc.height, tc.names...)
			press(l, tc.keys)
			var lines []string
			for _, s := range strings.Split(ansi.Strip(l.View().Content), "\n") {
				lines = append(lines, strings.TrimRight(s, " "))
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), strings.Join(lines, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Columns are shortened, and then left out, so that those that matter are seen.
func TestColumnsGiveWay(t *testing.T) {
	l := &List{Columns: []Column{{Name: "WORKLOAD", Elastic: true}, {Name: "PROTOCOL", Drop: 2}, {Name: "RPS", Right: true}, {Name: "BREAKER", Drop: 1}}}
	l.Update(tea.WindowSizeMsg{Width: 100, Height: 10})
	l.Set([]Item{{Key: "a", Cells: []Cell{{Text: "a-long-workload-name"}, {Text: "HTTP"}, {Text: "12.5"}, {Text: "open", Mark: Bad}}}})
	for width, want := range map[int]string{
		100: "a-long-workload-name  HTTP      12.5  open",
		45:  "a-long-workload-n…  HTTP      12.5  open",
		35:  "a-long-workload-n…  12.5  open",
		22:  "a-long-worklo…  12.5",
		8:   "a-long-work…  12.5",
	} {
		l.Update(tea.WindowSizeMsg{Width: width, Height: 10})
		if got := strings.TrimRight(l.layout().row(l.items[0].Cells, false), " "); got != want {
			t.Errorf("of %d columns: %q, want %q", width, got, want)
		}
	}
	l.Update(tea.WindowSizeMsg{Width: 100, Height: 10})
	if text := l.layout().row(l.items[0].Cells, true); !strings.Contains(text, "\x1b[31mopen\x1b[m") {
		t.Errorf("in colours: %q", text)
	}
}

// Whatever is pressed, and however large the terminal is, a view fits it, and what is selected is there.
func TestViewsFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	keys := []string{"j", "k", "<pgdown>", "<pgup>", "<home>", "<end>", "/", "a", "e", "<enter>", "<esc>", "<backspace>", "q", "é"}
	names := []string{"apple", "値段", "cherry", "a-very-long-name-that-does-not-fit", "\x1b[31m", "fig", "", "grape"}
	l := list(30, 7)
	for step := range 20000 {
		switch r.IntN(10) {
		case 0:
			l.Update(tea.WindowSizeMsg{Width: r.IntN(60), Height: r.IntN(12)})
		case 1:
			l.Set(fruit(names[:r.IntN(len(names)+1)]...))
		default:
			press(l, keys[r.IntN(len(keys))])
		}
		content := l.View().Content
		lines := strings.Split(content, "\n")
		if l.width > 0 && l.height > 0 && len(lines) != l.height {
			t.Fatalf("step %d: %d lines on %d", step, len(lines), l.height)
		}
		for _, s := range lines {
			if ansi.StringWidth(s) > l.width {
				t.Fatalf("step %d: %q is wider than %d", step, s, l.width)
			}
		}
		if !l.opened && len(l.shown) > 0 && (l.selected < l.top || l.selected >= l.top+l.rows() || l.key != l.items[l.shown[l.selected]].Key) {
			t.Fatalf("step %d: %d is selected, of %d from %d on", step, l.selected, l.rows(), l.top)
		}
	}
}
