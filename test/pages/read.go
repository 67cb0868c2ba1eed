package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Block is a block of commands, for one shell.
type Block struct {
	// Page is the page's path from the root of the checkout, Line where the block begins there.
	Page string
	Line int
	// Commands are those in it. One that goes on behind a backslash is one.
	Commands []string
}

// String says where the block is.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// fence begins and ends a block.
var fence = regexp.MustCompile("^ *```(.*)$")

// Read returns the blocks of all pages below a folder, page by page. A block without a language is an error: nobody could know whether it holds commands.
func Read(root string) ([]Block, error) {
	var all []Block
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && notOurs(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		page, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		blocks, err := read(filepath.ToSlash(page), string(text))
		all = append(all, blocks...)
		return err
	})
	return all, err
}

// notOurs reports whether a folder holds what others have written, or what was built.
func notOurs(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{"node_modules", "bin", "dist"}, name)
}

// read returns the blocks of a page.
func read(page, text string) (all []Block, err error) {
	var lines []string
	begun, language := 0, ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m == nil:
			lines = append(lines, line)
		case begun == 0:
			begun, language, lines = i+1, m[1], nil
			if language == "" {
				return nil, fmt.Errorf("%s:%d: write what the block holds behind the backquotes: sh for commands, text for what they print, yaml", page, begun)
			}
		default:
			if c := commands(language, lines); len(c) > 0 {
				all = append(all, Block{page, begun, c})
			}
			begun = 0
		}
	}
	return all, nil
}

// commands returns those in the lines of a block.
func commands(language string, lines []string) (all []string) {
	more := false
	for _, line := range lines {
		typed, prompted := strings.CutPrefix(line, "$ ")
		switch {
		case language == "text" && !prompted, language != "text" && language != "sh", strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
			continue
		case more:
			all[len(all)-1] += "\n" + line
		default:
			all = append(all, typed)
		}
		more = strings.HasSuffix(line, `\`)
	}
	return all
}
