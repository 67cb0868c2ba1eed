package run

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// place is where the command runs, and what its calls come through.
type place interface {
	// Start starts the command.
	Start(path string, argv []string, attr *os.ProcAttr) (*os.Process, error)
	// Close ends it, once the command has ended.
	Close()
}

// portMap is what one --map says.
type portMap struct {
	port uint16 // of this machine
	host string
	to   uint16
}

// parseMaps reads what --map says.
func parseMaps(texts []string) ([]portMap, error) {
	var out []portMap
	for _, text := range texts {
		own, rest, ok := strings.Cut(text, "=")
		host, port, err := net.SplitHostPort(rest)
		from, fromErr := strconv.ParseUint(own, 10, 16)
		to, toErr := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || fromErr != nil || toErr != nil || host == "" || to == 0 {
			return nil, fmt.Errorf("--map %s: this is not a port of this machine and a host with a port; write it as 8080=api.example:80", text)
		}
		out = append(out, portMap{uint16(from), host, uint16(to)})
	}
	return out, nil
}

// open makes the place that --capture asks for.
func (r *runner) open() (place, error) {
	if r.options.Capture == captureNever {
		return r.openLocal()
	}
	err := canCapture()
	if err == nil {
		var p place
		if p, err = r.openNamespace(); err == nil {
			return p, nil
		}
		r.out.say("connections cannot be captured here: %v", err)
	}
	if r.options.Capture == captureAlways {
		return nil, fmt.Errorf("--capture=Always is not possible here: %w", err)
	}
	return r.openLocal()
}

// local is this machine: the command calls through a proxy on it, if it heeds the usual variables.
type local struct {
	proxy     *url.URL
	replaced  func(names []string)
	listeners []*transport.Listener
	serving   sync.WaitGroup
}

func (r *runner) openLocal() (place, error) {
	l := &local{}
	own, err := l.listen(loopback4, 0)
	if err != nil {
		return nil, err
	}
	l.serving.Go(func() { r.front.Proxy(own.Listener) })
	l.proxy = &url.URL{Scheme: "http", Host: own.at}
	r.out.say("the command calls through %s", l.proxy)
	l.replaced = func(names []string) {
		r.out.say("%s of the environment is not used; say in a policy which hosts are behind a proxy (to[].via)", strings.Join(names, ", "))
	}
	for _, m := range r.maps {
		if err := l.serve(r, &m); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// The addresses of localhost, of which programs may call the first alone that they find: that of IPv6, where there is one.
const loopback4, loopback6 = "127.0.0.1", "::1"

// serve serves a mapped port.
func (l *local) serve(r *runner, m *portMap) error {
	mapped, err := l.listen(loopback4, m.port)
	if err != nil {
		return err
	}
	r.out.say("%s stands for %s", mapped.at, net.JoinHostPort(m.host, strconv.Itoa(int(m.to))))
	l.serving.Go(func() { r.front.Map(mapped.Listener, m.host, m.to) })
	mapped6, err := l.listen(loopback6, netip.MustParseAddrPort(mapped.at).Port())
	switch {
	case err == nil:
		l.serving.Go(func() { r.front.Map(mapped6.Listener, m.host, m.to) })
	case errors.Is(err, syscall.EADDRINUSE): // another program would get the command's calls
		return err
	}
	return nil // this machine has no IPv6
}

// listener is one and where it listens.
type listener struct {
	*transport.Listener
	at string
}

func (l *local) listen(address string, port uint16) (listener, error) {
	made, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
	if err != nil {
		return listener{}, fmt.Errorf("port %d of this machine: %w", port, err)
	}
	at := made.Addr().String()
	own, err := transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		return listener{}, err
	}
	l.listeners = append(l.listeners, own)
	return listener{own, at}, nil
}

// Start implements place.
func (l *local) Start(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	env, replaced := environment(attr.Env, l.proxy.String())
	if len(replaced) > 0 {
		l.replaced(replaced)
	}
	attr.Env = env
	return os.StartProcess(path, argv, attr)
}

// Close implements place.
func (l *local) Close() {
	for _, own := range l.listeners {
		_ = own.Close()
	}
	l.serving.Wait()
}
