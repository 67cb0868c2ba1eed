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

// Servers as people run them.

func serverScenarios() []scenario {
	kinds := []kind{service, host, headless}
	calls := func(r *run, more ...[]string) {
		named(r)
		for _, args := range append([][]string{
			{"-i", "/file.txt"}, {"-I", "/file.txt"}, {"-i", "/missing"}, {"-o", "/dev/null", "-w", "%{http_code} %{size_download}\n", "/big"},
			{"-w", "connects %{num_connects}\n", "/file.txt", "/file.txt"},
		}, more...) {
			curl(r, args)
		}
	}
	return withSlack([]scenario{
		{name: "nginx", kinds: kinds, play: func(r *run) {
			r.files()
			r.server(0, "nginx", "-p", r.world.scratch, "-e", "stderr", "-c", r.file("nginx.conf", nginxConf))
			calls(r, []string{"-i", "-r", "2-5", "/file.txt"}, []string{"--compressed", "/file.txt"}, []string{"-i", "-T", bigFile(), "/upload"},
				[]string{"-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Expect:", "-T", bigFile(), "/small"},
				[]string{"-i", "-X", "BREW", "/file.txt"}, []string{"-i", "-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "/file.txt"})
		}},
		{name: "nginx-http2", kinds: kinds, play: func(r *run) {
			r.files()
			conf := strings.Replace(nginxConf, "ipv6only=off", "ipv6only=off http2", 1)
			r.server(0, "nginx", "-p", r.world.scratch, "-e", "stderr", "-c", r.file("nginx.conf", conf))
			named(r)
			http2 := func(args ...string) []string { return append([]string{"--http2-prior-knowledge"}, args...) }
			for _, args := range [][]string{
				{"-i", "/file.txt"}, {"-I", "/file.txt"}, {"-i", "/missing"}, {"-o", "/dev/null", "-w", "%{http_code} %{size_download}\n", "/big"},
				{"-w", "connects %{num_connects}\n", "/file.txt", "/file.txt"}, {"-i", "-r", "2-5", "/file.txt"}, {"-i", "-T", bigFile(), "/upload"},
			} {
				curl(r, http2(args...))
			}
		}},
		{name: "haproxy", kinds: kinds, play: func(r *run) {
			r.server(0, "haproxy", "-f", r.file("haproxy.cfg", haproxyConf))
			calls(r)
		}},
		{name: "python-http-server", kinds: kinds, play: func(r *run) {
			r.files()
			r.server(0, "python3", "-u", "-m", "http.server", "-b", "::", "-d", r.world.scratch+"/www", fmt.Sprint(serverPort))
			calls(r)
		}, differs: []difference{versionRaisedFor, fewerConnects}},
		{name: "node-http-server", kinds: kinds, play: func(r *run) {
			r.server(0, "node", "-e", nodeServer, fmt.Sprint(serverPort))
			calls(r, []string{"-i", "-T", bigFile(), "/upload"}, []string{"-i", "/events"})
		}},
		{name: "redis", kinds: []kind{service, headless, everything, neighbour, serviceTCP}, play: func(r *run) {
			r.server(0, "redis-server", "--port", fmt.Sprint(serverPort), "--bind", "* -::*", "--protected-mode", "no", "--save", "", "--dir", r.world.scratch)
			r.podWith("PING\nSET a 1\nINCR a\nGET a\nLRANGE b 0 -1\nNOSUCH\nEVAL \"return {1,2,{3,'x'}}\" 0\n", "redis-cli", "-h", r.ip(), "-p", r.portText())
			r.podWith(strings.Repeat("SET k v\r\n", 2000)+"GET k\r\n", "redis-cli", "-h", r.ip(), "-p", r.portText(), "--pipe")
		}},
		{name: "postgresql", kinds: connectionKinds, play: func(r *run) {
			r.openScratch()
			database, err := postgresDatabase()
			check(r, err)
			r.server(0, "sh", "-c", postgresServer, r.world.scratch, fmt.Sprint(serverPort), database)
			// It accepts connections before it serves them.
			r.start(r.world.pod, "sh", "-c", "until pg_isready -q -h "+r.ip()+" -p "+r.portText()+"; do sleep 0.1; done").wait()
			ask := []string{"psql", "-X", "-q", "-A", "-h", r.ip(), "-p", r.portText(), "-U", "app", "-d", "postgres"}
			r.podWith(postgresSession, ask...)
			r.pod(append(ask, "-c", "SELECT pg_sleep(2), 'after a quiet while'")...)
			r.pod(append(ask, "-c", "SELECT pg_terminate_backend(pg_backend_pid())")...)
			r.pod(append(ask, "-d", "missing", "-c", "SELECT 1")...)
		}},
		{name: "smtp", kinds: connectionKinds, play: func(r *run) {
			r.server(0, "python3", "-u", "-c", mailServer, fmt.Sprint(serverPort))
			r.pod("python3", "-c", mailClient, r.ip(), r.portText())
		}},
	})
}

// named gives the server its name in the pod.
func named(r *run) { r.world.setHosts(r, fmt.Sprintf("%s %s\n", r.addr().Addr(), serverName)) }

// curl calls the server with curl; arguments that are paths become URLs of it.
func curl(r *run, args []string) {
	all := []string{"curl", "-sS", "--max-time", "8"}
	for _, a := range args {
		if strings.HasPrefix(a, "/") && a != bigFile() && a != os.DevNull {
			a = r.url(a)
		}
		all = append(all, a)
	}
	r.pod(all...)
}

// connectionKinds are those under which servers are called that speak something else than HTTP.
var connectionKinds = []kind{service, headless, everything, neighbour, serviceTCP}

// postgresDatabase makes the files of an empty database, once: that takes long.
var postgresDatabase = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch(), "postgres")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("sh", "-c", postgresFiles, dir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	return dir + "/db", nil
})

// PostgreSQL refuses root.
const postgresUser = `
set -e
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
`

const postgresFiles = postgresUser + `
for d in "$0" "$(dirname "$0")"; do chmod a+rx "$d"; done
chown nobody "$0"
cd /
$as "$programs/initdb" -N -A trust -U app -D "$0/db" >/dev/null
echo "host all all all trust" >> "$0/db/pg_hba.conf"
`

const postgresServer = postgresUser + `
data=$(mktemp -d "$0/postgresXXXXXX")
cp -a "$2" "$data/db"
chmod a+rx "$data"
exec $as "$programs/postgres" -D "$data/db" -p "$1" -k "" -h "*" -c fsync=off -c shared_buffers=1MB -c max_connections=10
`

const postgresSession = `
CREATE TABLE things (id int PRIMARY KEY, name text);
INSERT INTO things SELECT i, repeat('x', i % 50) FROM generate_series(1, 20000) i;
SELECT count(*), sum(length(name)) FROM things;
SELECT * FROM things WHERE id < 4 ORDER BY id;
SELECT nothing FROM things;
INSERT INTO things VALUES (1, 'again');
BEGIN; DELETE FROM things; ROLLBACK;
COPY (SELECT id FROM things ORDER BY id LIMIT 3) TO STDOUT;
SELECT md5(string_agg(name, ',' ORDER BY id)) FROM things;
DROP TABLE things;
`

// mailServer greets first, and answers as servers of mail do.
const mailServer = `
import socketserver, sys, socket
class Session(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda s: self.wfile.write(s.encode() + b"\r\n")
        say("220 mail.test ESMTP")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                say("250-mail.test"); say("250 SIZE 1000000")
            elif word == "DATA":
                say("354 go on")
                size = 0
                while (part := self.rfile.readline()) != b".\r\n":
                    size += len(part)
                say("250 took %d bytes" % size)
            elif word == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")
class Server(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address, daemon_threads = socket.AF_INET6, True, True
Server(("::", int(sys.argv[1])), Session).serve_forever()
`

const mailClient = `
import smtplib, sys
s = smtplib.SMTP(sys.argv[1], int(sys.argv[2]), local_hostname="pod.test", timeout=8)
print(s.ehlo())
print(s.sendmail("a@pod.test", ["b@mail.test", "c@mail.test"], "Subject: hello\r\n\r\n" + "a line of text\r\n" * 5000))
print(s.noop())
print(s.quit())
`

// files are what the file servers serve.
func (r *run) files() {
	r.file("www/file.txt", "the content of a file\n")
	r.file("www/big", noise(1<<20))
	for _, name := range []string{"file.txt", "big"} {
		check(r, os.Chtimes(filepath.Join(r.world.scratch, "www", name), time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}
	for _, dir := range []string{"temp", "logs"} {
		check(r, os.MkdirAll(filepath.Join(r.world.scratch, dir), 0o777))
	}
	r.openScratch()
}

// openScratch lets programs that give up root read what is in the scratch folder.
func (r *run) openScratch() {
	for dir := r.world.scratch; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		check(r, os.Chmod(dir, 0o755))
	}
}

const nginxConf = `
daemon off; pid nginx.pid; error_log stderr; worker_processes 1; user root;
events {}
http {
  access_log off; root www; default_type text/plain; gzip on; gzip_min_length 1; gzip_types text/plain; etag off;
  client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/f; uwsgi_temp_path temp/u; scgi_temp_path temp/s;
  server {
    listen [::]:8080 ipv6only=off; client_max_body_size 10m;
    location /upload { return 201 "taken\n"; }
    location /small { client_max_body_size 1k; proxy_pass http://127.0.0.1:1; }
  }
}
`

const haproxyConf = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 1s
frontend front
  bind :::8080 v4v6
  http-request return status 200 content-type text/plain string "from haproxy" if { path /file.txt }
  http-request return status 200 content-type text/plain lf-string "%[rand]" if { path /rand }
  http-request deny status 404
`

const nodeServer = `
const http = require('http');
http.createServer((q, r) => {
  let n = 0;
  q.on('data', d => n += d.length);
  q.on('end', () => {
    r.sendDate = false;
    if (q.url === '/missing') { r.statusCode = 404; r.end('none\n'); }
    else if (q.url === '/big') r.end('x'.repeat(1 << 20));
    else if (q.url === '/events') { r.write('one\n'); setTimeout(() => r.end('two\n'), 300); }
    else r.end(q.method + ' of ' + n + '\n');
  });
}).listen(Number(process.argv[1]), '::');
`
