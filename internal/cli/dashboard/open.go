package dashboard

import (
	"context"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// open opens an address in the user's browser, and returns when ctx ends, or with why no browser could be opened. Who lists the processes of the machine
// sees the arguments of programs: so the browser is given a file that leads to the address, which only the user can read.
func open(ctx context.Context, address string) error {
	file, remove, err := redirect(address)
	if err != nil {
		return err
	}
	defer remove()
	if err := run(ctx, file); err != nil {
		return err
	}
	<-ctx.Done() // the program may have ended before the browser has read the file
	return nil
}

// redirect writes a page that leads to an address, in a folder of its own. Both can be read by the user alone; remove removes them.
func redirect(address string) (file string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "fairlead-dashboard-") // with mode 0700
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // what is left leads nowhere any more
	a := html.EscapeString(address)
	page := fmt.Sprintf(`<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url=%s">
<title>fairlead</title><a href="%s">The dashboard</a>
`, a, a)
	file = filepath.Join(dir, "dashboard.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		remove()
		return "", nil, err
	}
	return file, remove, nil
}

// run has the desktop open a file, and returns when the program that does so has ended, or ctx. That program may be the browser: it goes on.
func run(ctx context.Context, file string) error {
	cmd := opener(context.WithoutCancel(ctx), file)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// opener returns the program that opens a file, in a process group of its own: Ctrl-C is not for the browser.
func opener(ctx context.Context, file string) *exec.Cmd {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	cmd := exec.CommandContext(ctx, name, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
