package differential

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Programs as people use them, beside the raw sockets of the other scenarios.

// manyPaths sets up what the client programs need: the name of the server, in /etc/hosts, and a server that does what its paths say.
func (r *run) manyPaths() {
	r.world.setHosts(r, fmt.Sprintf("%s %s\n", r.addr().Addr(), serverName))
	r.web(0, func(q *request) {
		switch path, _, _ := strings.Cut(q.target, "?"); path {
		case "/slow":
			time.Sleep(1500 * time.Millisecond)
			q.answer(200, "slow")
		case "/hang":
			q.p.who += ", hanging" // the client goes on elsewhere
			q.p.gone(6 * time.Second)
			q.p.ended = "over"
		case "/upload":
			if strings.EqualFold(q.fields.get("Expect"), "100-continue") {
				q.p.say("HTTP/1.1 100 Continue\r\n\r\n")
			}
			q.body()
			q.answer(201, "taken")
		case "/early":
			q.p.say(answerOf("413 Too Large", "no", "Connection: close"))
			q.p.finish()
			q.p.gone(3 * time.Second)
			q.p.ended = "over"
		case "/close":
			q.p.say(ok("closing", "Connection: close"))
			q.close()
		case "/cut":
			q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			time.Sleep(200 * time.Millisecond)
			q.close()
		case "/chunked":
			q.p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one,") + chunk("two") + lastChunk)
		case "/redirect":
			q.p.say("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
		case "/big":
			q.p.say(ok(noise(4 << 20)))
		case "/status":
			q.answer(503, "busy")
		default:
			q.body()
			q.answer(200, q.method+" "+q.target)
		}
	})
}

func (r *run) url(path string) string { return "http://" + r.authority() + path }

// with runs a program against the usual server.
func with(name string, do func(r *run)) scenario {
	return scenario{name: name, kinds: []kind{service, host, headless}, slack: busySlack, play: func(r *run) {
		r.manyPaths()
		do(r)
	}}
}

func clientScenarios() []scenario {
	curl := func(name string, args ...string) scenario {
		return with("curl-"+name, func(r *run) {
			all := []string{"curl", "-sS", "-i", "--max-time", "8"}
			for _, a := range args {
				if strings.HasPrefix(a, "/") && a != bigFile() && a != os.DevNull {
					a = r.url(a)
				}
				all = append(all, a)
			}
			r.pod(all...)
		})
	}
	body := "@" + bigFile()
	list := []scenario{
		curl("get", "/"),
		curl("two-on-one-connection", "-w", "connects %{num_connects}\n", "/1", "/2"),
		curl("head", "-I", "/"),
		curl("post", "-d", "a=1&b=2", "/form"),
		curl("upload", "-T", bigFile(), "/upload"),
		curl("upload-in-chunks", "-H", "Transfer-Encoding: chunked", "-T", bigFile(), "/upload"),
		curl("post-with-expect", "-H", "Expect: 100-continue", "--data-binary", body, "/upload"),
		curl("refused-upload", "-H", "Expect:", "-T", bigFile(), "/early").under(service, host),
		curl("redirect", "-L", "/redirect"),
		curl("chunked", "/chunked"),
		curl("big", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\n", "/big"),
		curl("slow", "/slow"),
		curl("own-limit", "--max-time", "1", "/hang"),
		curl("http-1.0", "-0", "/"),
		curl("server-closes", "-w", "connects %{num_connects}\n", "/close", "/after").but(fewerConnects),
		curl("cut-answer", "/cut").but(cutForCurl),
		curl("retry-of-503", "--retry", "1", "--retry-delay", "1", "/status"),
		curl("h2c-offer", "--http2", "/").but(h2cOfCurl),
		with("busybox-wget", func(r *run) { r.pod("busybox", "wget", "-q", "-O", "-", r.url("/")) }),
		with("busybox-wget-of-503", func(r *run) { r.pod("busybox", "wget", "-q", "-O", "-", r.url("/status")) }),
		with("nc-request-and-half-close", func(r *run) { r.podWith(r.to("GET", "/slow", "Connection: close"), "nc", "-N", r.ip(), r.portText()) }),
		with("socat-request-and-half-close", func(r *run) {
			r.podWith(r.to("GET", "/slow", "Connection: close"), "socat", "-t5", "-", "TCP:"+r.addr().String())
		}),
	}
	return append(list, scriptedScenarios()...)
}

func (r *run) ip() string       { return r.addr().Addr().String() }
func (r *run) portText() string { return fmt.Sprint(r.port()) }

func probeScenarios() []scenario {
	return withSlack([]scenario{
		{name: "nc-z-open", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest() })
			r.pod("nc", "-z", "-w", "3", r.ip(), r.portText())
		}},
		{name: "nc-z-closed", kinds: rawKinds[:4], play: func(r *run) {
			r.pod("nc", "-z", "-w", "3", r.ip(), r.portText())
		}, differs: []difference{probeSucceeds}},
		{name: "nc-z-service-without-endpoints", kinds: []kind{service, serviceTCP}, setting: setting{empty: true}, uncaptured: true, play: func(r *run) {
			r.pod("nc", "-z", "-w", "3", r.ip(), r.portText())
		}},
		{name: "nc-half-close", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); time.Sleep(300 * time.Millisecond); p.say("%answer\n") })
			r.podWith(hello, "nc", "-N", r.ip(), r.portText())
		}},
		{name: "socat-half-close", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); time.Sleep(300 * time.Millisecond); p.say("%answer\n") })
			r.podWith(hello, "socat", "-t5", "-", "TCP:"+r.addr().String())
		}},
		{name: "busybox-nc-that-listens-first", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.say("220 ready\n") })
			r.pod("nc", r.ip(), r.portText())
		}},
	})
}

// scriptedScenarios are those of languages.
func scriptedScenarios() []scenario {
	return []scenario{
		with("python-http-client", func(r *run) { r.pod("python3", "-c", pythonClient, serverName, r.portText()) }),
		with("python-requests", func(r *run) { r.pod("python3", "-c", pythonRequests, r.url("")) }),
		with("node-http", func(r *run) { r.pod("node", "-e", nodeHTTP, serverName, r.portText()) }),
		with("node-fetch", func(r *run) { r.pod("node", "-e", nodeFetch, r.url("")) }),
		with("java-http-client", func(r *run) { r.pod(append(javaCommand(r), "Client", r.url(""))...) }).under(service, host).after(compileJava).but(h2cOfJava),
		with("java-url-connection", func(r *run) { r.pod(append(javaCommand(r), "Old", r.url(""))...) }).under(service, host).after(compileJava),
	}
}

// javaClasses compiles the Java clients, once.
var javaClasses = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch(), "java")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, source := range map[string]string{"Client.java": javaClient, "Old.java": javaOld} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command(findPrograms()["javac"], "Client.java", "Old.java")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("javac: %w\n%s", err, out)
	}
	return dir, nil
})

func compileJava() error {
	_, err := javaClasses()
	return err
}

// after has a scenario prepared.
func (s scenario) after(prepare func() error) scenario {
	s.prepare = prepare
	return s
}

func javaCommand(r *run) []string {
	r.Helper()
	dir, err := javaClasses()
	check(r, err)
	return []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", dir}
}

// scratch is a folder for what all scenarios share. TestMain removes it.
var scratch = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "differential")
	if err != nil {
		panic(err)
	}
	return dir
})

// bigFile is the path of a file of 300 kilobytes.
var bigFile = sync.OnceValue(func() string {
	path := filepath.Join(scratch(), "big")
	if err := os.WriteFile(path, []byte(noise(300<<10)), 0o644); err != nil {
		panic(err)
	}
	return path
})
