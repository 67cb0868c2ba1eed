// Package browser opens pages in Chromium, for tests of what people see. It says what a page reports as wrong, what axe-core finds, and what is in it.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// readyTime bounds how long a page may take until it shows its data: a test that hangs is to say where.
const readyTime = 90 * time.Second

// Program is Debian's Chromium, or empty if it is not installed.
func Program() string {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return ""
	}
	return path
}

// Axe returns the script of axe-core, which npm has put below web/, for a folder two below the repository's root.
func Axe() (string, error) {
	b, err := os.ReadFile(filepath.Join("..", "..", "web", "node_modules", "axe-core", "axe.min.js"))
	return string(b), err
}

// Start starts a browser, which ends with the returned function. Its profile is in a folder of its own.
func Start(ctx context.Context, profile string) (context.Context, func(), error) {
	program := Program()
	if program == "" {
		return nil, nil, errors.New("chromium is not installed")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(program), chromedp.UserDataDir(profile),
		chromedp.NoSandbox, // tests run as root, in containers too
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, endAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	end := func() { endBrowser(); endAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", program, err)
	}
	return ctx, end, nil
}

// View is how somebody looks at a page.
type View struct {
	Width, Height int64
	Dark          bool
}

// String names the view.
func (v View) String() string {
	if v.Dark {
		return fmt.Sprintf("%d-dark", v.Width)
	}
	return fmt.Sprintf("%d-light", v.Width)
}

// Page is a page that is open in a tab of its own.
type Page struct {
	ctx context.Context
	end func()

	mu sync.Mutex
	// guarded by mu
	wrong []string
}

// Open opens an address in a new tab, and waits until it shows its data. Close it.
func Open(browser context.Context, address string, v View) (*Page, error) {
	p := &Page{}
	p.ctx, p.end = chromedp.NewContext(browser, chromedp.WithListener(p.heard))
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if err := chromedp.Do(p.ctx); err != nil { // the tab lives as long as the context that it is made with
		p.end()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	err := p.do(func(ctx context.Context) error {
		return errors.Join(
			call(ctx, log.Enable, cdp.Empty{}), call(ctx, network.Enable, network.EnableParams{}),
			call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: v.Width, Height: v.Height, DeviceScaleFactor: 1}),
			call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}),
			chromedp.Do(ctx, chromedp.Navigate(address)))
	})
	if err == nil {
		err = p.Ready()
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("open %s: %w; %s", address, err, strings.Join(p.Wrong(), "; "))
	}
	return p, nil
}

// Close closes the tab.
func (p *Page) Close() { p.end() }

// do bounds how long something takes.
func (p *Page) do(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(p.ctx, readyTime)
	defer cancel()
	return f(ctx)
}

func call[P any](ctx context.Context, c cdp.Command[P, cdp.Empty], params P) error {
	_, err := chromedp.Call(ctx, c, params)
	return err
}

// Ready waits until the page shows its data.
func (p *Page) Ready() error {
	return p.await(`document.body && document.body.dataset.ready === "true"`)
}

// await asks again and again: what a library would have the page itself evaluate, its Content-Security-Policy forbids.
func (p *Page) await(expression string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	return p.do(func(ctx context.Context) error {
		for {
			done, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
			if done || err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	})
}

// Eventually waits until an expression of JavaScript is true.
func (p *Page) Eventually(expression string) error {
	if err := p.await(expression); err != nil {
		text, _ := p.Text() // for the message alone
		return fmt.Errorf("%s never came true: %w; the page shows %.2000s", expression, err, text)
	}
	return nil
}

// Value evaluates an expression of JavaScript, or what it promises.
func Value[T any](p *Page, expression string) (v T, err error) {
	err = p.do(func(ctx context.Context) (err error) {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
		return err
	})
	return v, err
}

// Press presses keys one after the other, as a person does: letters, and those of kb such as kb.Enter; with a modifier, such as Ctrl, held down.
func (p *Page) Press(keys string, held ...chromedp.Modifier) error {
	return p.do(func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.KeyEvent(keys, chromedp.KeyModifiers(held...)))
	})
}

// Alike waits until an expression of JavaScript has one value in two pages, and returns it.
func Alike(a, b *Page, expression string) (string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var one, other string
	err := a.do(func(ctx context.Context) (err error) {
		for {
			if one, err = Value[string](a, expression); err != nil {
				return err
			}
			if other, err = Value[string](b, expression); err != nil || one == other {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	})
	if err != nil {
		err = fmt.Errorf("%w: one page has\n%s\nthe other\n%s", err, one, other)
	}
	return one, err
}

// Text is what the page shows as text.
func (p *Page) Text() (string, error) { return Value[string](p, `document.body.innerText`) }

// Screenshot writes what the page looks like to a file.
func (p *Page) Screenshot(path string) error {
	return p.do(func(ctx context.Context) error {
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			return err
		}
		return os.WriteFile(path, picture, 0o600)
	})
}

// heard notes what the page reports as wrong.
func (p *Page) heard(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			for _, a := range e.Args {
				text += " " + string(a.Value) + a.Description
			}
			text = "console " + string(e.Type) + ":" + text
		}
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			text = "log " + string(e.Entry.Level) + ": " + e.Entry.Text + " " + e.Entry.URL
		}
	case *page.EventJavascriptDialogOpening:
		text = "dialog: " + e.Message
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			text = fmt.Sprintf("%d for %s", e.Response.Status, e.Response.URL)
		}
	}
	if text != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = append(p.wrong, text)
	}
}

// Wrong lists what the page has reported as wrong: errors and warnings on its console, exceptions, dialogs, requests that were refused.
func (p *Page) Wrong() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

// Inaccessible runs axe-core, and lists its serious and critical findings.
func (p *Page) Inaccessible(axe string) ([]string, error) {
	if _, err := Value[int](p, axe+";0"); err != nil {
		return nil, fmt.Errorf("load axe-core: %w", err)
	}
	text, err := Value[string](p, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`)
	if err != nil {
		return nil, fmt.Errorf("run axe-core: %w", err)
	}
	var found []struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return nil, err
	}
	var out []string
	for _, f := range found {
		if f.Impact == "serious" || f.Impact == "critical" {
			out = append(out, fmt.Sprintf("%s: %s, %d times, such as %.300s: %.300s", f.ID, f.Help, len(f.Nodes), f.Nodes[0].HTML, f.Nodes[0].FailureSummary))
		}
	}
	return out, nil
}
