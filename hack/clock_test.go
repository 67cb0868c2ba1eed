package hack_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A number of nanoseconds since 1970 is the wall clock's, which may be set: durations and orders go by time.Time, whose difference is
// the monotonic clock's, or by a number that counts from such a time.
func TestNoWallClockInNumbers(t *testing.T) {
	for _, dir := range []string{"../internal", "../cmd"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if bytes.Contains(source, []byte(".UnixNano()")) {
				t.Errorf("%s calls UnixNano", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
