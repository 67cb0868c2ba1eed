package screen

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"fairlead.dev/fairlead/internal/cli/output"
)

// Mark says how a cell is coloured, where the terminal has colours and NO_COLOR is not set.
type Mark int

// The marks.
const (
	Plain Mark = iota
	Good
	Warning
	Bad
	// Title is no colour: it is bold.
	Title
)

// Cell is what one column of an item shows.
type Cell struct {
	Text string
	Mark Mark
}

// Item is one line of a list. Key distinguishes it from all others: the selection stays with it.
type Item struct {
	Key   string
	Cells []Cell
}

// Column is a column of a list.
type Column struct {
	Name  string
	Right bool // its cells end at the same place
	// Elastic columns are shortened where the terminal is not wide enough for all; then those with a Drop are left out, the highest first.
	Elastic bool
	Drop    int
}

// Key is a key of a view, and what it does, for the last line.
type Key struct{ Key, Does string }

// List is a list of which one line is selected. A view holds one, passes it every message, and sets what it shows.
type List struct {
	// set by the view

	Title   string
	State   string // at the right of the title
	Note    string // a sentence below the title
	None    string // a sentence for when there are no items
	Columns []Column
	Keys    []Key
	// Follow has the last line be selected until somebody selects another one, rather than the first.
	Follow bool
	// Details are the lines that tell more about an item, and what they are about.
	Details func(key string) (title string, lines []string)

	// kept by the list

	width, height int
	items         []Item
	shown         []int  // of items, those that the filter lets through
	selected      int    // of shown
	key           string // of the selected item
	chosen        bool   // somebody has selected it
	top           int    // the first of shown that is on the screen
	filter        string
	before        string // what the filter was before it was typed
	typing        bool
	opened        bool // details are on the screen
	scroll        int  // the first line of details that is on the screen
}

// Set replaces the items. The selection stays with its item, or with its line where that is gone.
func (l *List) Set(items []Item) {
	l.items = items
	l.choose()
}

// Selected returns the key of the selected item; empty: there is none.
func (l *List) Selected() string { return l.key }

// choose finds the items that the filter lets through, and the selected one among them.
func (l *List) choose() {
	l.shown = l.shown[:0]
	found := -1
	words := strings.Fields(strings.ToLower(l.filter))
	for i := range l.items {
		if !l.items[i].has(words) {
			continue
		}
		if l.items[i].Key == l.key {
			found = len(l.shown)
		}
		l.shown = append(l.shown, i)
	}
	switch {
	case !l.chosen:
		found = l.rest()
	case found < 0:
		found = l.selected
	}
	l.moveTo(found)
}

// rest is the line that is selected until somebody selects another one.
func (l *List) rest() int {
	if l.Follow {
		return len(l.shown) - 1
	}
	return 0
}

// has reports whether an item has all words.
func (i *Item) has(words []string) bool {
	if len(words) == 0 {
		return true
	}
	var b strings.Builder
	for _, c := range i.Cells {
		b.WriteString(strings.ToLower(output.Text(c.Text)))
		b.WriteByte(' ')
	}
	text := b.String()
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// moveTo selects a line, and has it on the screen.
func (l *List) moveTo(n int) {
	l.selected = max(0, min(n, len(l.shown)-1))
	rows := l.rows()
	l.top = max(0, min(l.top, l.selected, len(l.shown)-rows))
	l.top = max(l.top, l.selected-rows+1)
	switch {
	case l.opened: // details stay what they are, though their item may be hidden or gone
	case len(l.shown) == 0:
		l.key, l.opened = "", false
	default:
		l.key = l.items[l.shown[l.selected]].Key
	}
}

// Update does what a message asks for, and reports whether it did: what it did not is the view's.
func (l *List) Update(msg tea.Msg) (cmd tea.Cmd, used bool) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		l.width, l.height = m.Width, m.Height
		l.moveTo(l.selected)
		return nil, true
	case tea.PasteMsg:
		if l.typing {
			l.setFilter(l.filter + strings.Join(strings.Fields(m.Content), " "))
		}
		return nil, true
	case tea.KeyPressMsg:
		return l.press(m)
	}
	return nil, false
}

func (l *List) press(k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "ctrl+c":
		return tea.Quit, true
	case "ctrl+z":
		return tea.Suspend, true
	}
	switch {
	case l.typing:
		l.typed(k)
	case l.opened:
		return l.read(k)
	default:
		return l.browse(k)
	}
	return nil, true
}

// typed is a key while the filter is typed.
func (l *List) typed(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		l.typing = false
	case "esc":
		l.typing = false
		l.setFilter(l.before)
	case "ctrl+u":
		l.setFilter("")
	case "backspace":
		if l.filter == "" {
			l.typing = false
			return
		}
		r := []rune(l.filter)
		l.setFilter(string(r[:len(r)-1]))
	default:
		l.setFilter(l.filter + k.Text)
	}
}

func (l *List) setFilter(s string) {
	if l.filter != s {
		l.filter = s
		l.choose()
	}
}

// read is a key while details are on the screen.
func (l *List) read(k tea.KeyPressMsg) (tea.Cmd, bool) {
	page := max(1, l.height-3)
	switch k.String() {
	case "q":
		return tea.Quit, true
	case "esc", "enter", "backspace", "left":
		l.opened, l.scroll = false, 0
		l.choose()
	case "up", "k":
		l.scroll--
	case "down", "j":
		l.scroll++
	case "pgup", "b":
		l.scroll -= page
	case "pgdown", "space", "f":
		l.scroll += page
	case "home", "g":
		l.scroll = 0
	case "end", "G":
		l.scroll = 1 << 20 // drawing bounds it
	default:
		return nil, false
	}
	_, lines := l.details()
	l.scroll = max(0, min(l.scroll, len(lines)-page))
	return nil, true
}

// browse is a key while the list is on the screen.
func (l *List) browse(k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "q":
		return tea.Quit, true
	case "/":
		l.typing, l.before = true, l.filter
	case "esc":
		l.setFilter("")
	case "enter", "right":
		l.opened = l.Details != nil && len(l.shown) > 0
		l.chosen = l.chosen || l.opened
	case "up", "k":
		l.goTo(l.selected - 1)
	case "down", "j":
		l.goTo(l.selected + 1)
	case "pgup", "b":
		l.goTo(l.selected - l.rows())
	case "pgdown", "f":
		l.goTo(l.selected + l.rows())
	case "home", "g":
		l.goTo(0)
	case "end", "G":
		l.goTo(len(l.shown) - 1)
	default:
		return nil, false
	}
	return nil, true
}

// goTo selects a line, since somebody wants it.
func (l *List) goTo(n int) {
	l.moveTo(n)
	l.chosen = l.selected != l.rest()
}

// around is how many lines of the screen are not the list's: title, note, head and keys.
const around = 4

// rows is how many items are on the screen.
func (l *List) rows() int { return max(1, l.height-around) }
