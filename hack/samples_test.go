package hack_test

import (
	"regexp"
	"strings"
	"testing"
)

var (
	sampleLink  = regexp.MustCompile(`\]\(\.\./\.\./(config/samples/[a-z-]+\.yaml)\)`)
	commentLine = regexp.MustCompile(`(?m)^ *#.*\n`)
)

// TestSamplesAreExplainedLineByLine: each section of docs/guides/samples.md shows the whole of its sample but for the comments, part by part, and says something about each part.
func TestSamplesAreExplainedLineByLine(t *testing.T) {
	sections := strings.Split(read(t, "docs/guides/samples.md"), "\n## ")[1:]
	for _, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		named := sampleLink.FindStringSubmatch(section)
		if named == nil {
			t.Errorf("%s names no sample", title)
			continue
		}
		shown := ""
		parts := strings.Split(section, "```yaml\n")[1:]
		for _, part := range parts {
			text, about, _ := strings.Cut(part, "```\n")
			shown += text
			if len(strings.TrimSpace(about)) == 0 {
				t.Errorf("%s says nothing about\n%s", title, text)
			}
		}
		if want := commentLine.ReplaceAllString(read(t, named[1]), ""); shown != want {
			t.Errorf("%s shows\n%s\nand %s is\n%s", title, shown, named[1], want)
		}
	}
	if len(sections) < 5 {
		t.Errorf("%d samples are explained", len(sections))
	}
}
