package hack_test

import (
	"regexp"
	"testing"
)

// storyPath is a path that a story of test/e2e calls, and the key under which the server counts it instead.
var storyPath = regexp.MustCompile(`env\.url\("(/[\w-]+)(?:[^"]*\bkey=([\w-]+))?`)

// TestStoriesCountUnderPathsOfTheirOwn: stories share a server, which counts by path.
func TestStoriesCountUnderPathsOfTheirOwn(t *testing.T) {
	of := map[string]string{}
	for _, file := range tracked(t, "test/e2e/*_test.go") {
		for _, call := range storyPath.FindAllStringSubmatch(read(t, file), -1) {
			counted := call[1]
			if call[2] != "" {
				counted = call[2]
			}
			if other, ok := of[counted]; ok && other != file {
				t.Errorf("%s and %s both call %s: begin it with what the story is about", other, file, counted)
			}
			of[counted] = file
		}
	}
	if len(of) < 50 {
		t.Fatalf("only %d paths were found", len(of))
	}
}
