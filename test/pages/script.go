package pages

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// prologue defines ended, which ends the shell unless a pipe has ended well: its first argument is a status that its last command may end with besides 0. What goes
// on in the background ends with the shell. A grep that finds nothing has ended well, wherever it stands in a pipe.
const prologue = `set +e
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
grep() {
  local status=0
  command grep "$@" || status=$?
  [ "$status" = 1 ] || return "$status"
}
ended() {
  local allowed=$1 status
  shift
  for status in "${@:1:$#-1}"; do
    [ "$status" = 0 ] || { echo "exit status $status in a pipe" >&2; exit 1; }
  done
  [ "${!#}" = 0 ] || [ "${!#}" = "$allowed" ] || { echo "exit status ${!#}" >&2; exit 1; }
}
`

// statuses are of commands that may end with 1: diff if something would be altered, doctor if it finds a problem.
var statuses = regexp.MustCompile(`^kubectl fairlead (diff|doctor)\b`)

// endless are commands that go on until somebody ends them.
var endless = regexp.MustCompile(`^kubectl fairlead (tap\b|.* --watch\b)`)

// Script is what a shell runs for a block: each command after itself, until one fails. Names stand for placeholders, words in capitals. Commands that
// are listed in Elsewhere are left out; the script is empty if these are all. What goes on until somebody ends it is ended after patience seconds, and must
// go on for so long.
func (b Block) Script(names map[string]string, patience int) string {
	var out strings.Builder
	for _, c := range b.Commands {
		if Find(b.Page, c) != nil {
			continue
		}
		c = substitute(c, names)
		fmt.Fprintf(&out, "printf '$ %%s\\n' '%s'\n", strings.ReplaceAll(c, "'", `'\''`))
		switch {
		case endless.MatchString(c):
			fmt.Fprintf(&out, "timeout --signal=INT %d %s\n[ $? = 124 ] || { echo 'it has ended by itself' >&2; exit 1; }\n", patience, c)
		case strings.HasSuffix(c, "&"):
			fmt.Fprintln(&out, c)
		default:
			allowed := "0"
			if statuses.MatchString(c) {
				allowed = "1"
			}
			fmt.Fprintf(&out, "%s\nended %s \"${PIPESTATUS[@]}\"\n", c, allowed)
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return prologue + out.String()
}

// substitute puts names in place of placeholders.
func substitute(command string, names map[string]string) string {
	longest := slices.SortedFunc(maps.Keys(names), func(a, b string) int { return len(b) - len(a) }) // AGENT 9464 before AGENT
	for _, name := range longest {
		command = regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\b`).ReplaceAllLiteralString(command, names[name])
	}
	return command
}

// Exception is about commands that test/e2e does not run.
type Exception struct {
	// Page is the page's path, or empty for all pages; Begins is how the commands begin.
	Page, Begins string
	// Why says why not, and what runs the like.
	Why string
}

// Find returns the exception that a command comes under, or nil.
func Find(page, command string) *Exception {
	i := slices.IndexFunc(Elsewhere, func(e Exception) bool { return e.about(page, command) })
	if i < 0 {
		return nil
	}
	return &Elsewhere[i]
}

func (e *Exception) about(page, command string) bool {
	return (e.Page == "" || e.Page == page) && strings.HasPrefix(command, e.Begins)
}
