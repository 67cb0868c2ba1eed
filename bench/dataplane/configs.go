package main

import (
	"fmt"
	"strings"
)

const haproxyConfig = `
global
  nbthread THREADS
  maxconn 10200
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 5m
  timeout server 2s
  timeout queue 1s
  timeout http-request 10s
  retries 2
  retry-on conn-failure empty-response response-timeout 502 503 504
  option redispatch
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:PORT
  use_backend out2 if { fc_http_major 2 }
  default_backend out
backend out2
  server s1 UPSTREAM proto h2 maxconn 20000 pool-max-conn 20000
backend out
  timeout tunnel 1h
  server s1 UPSTREAM maxconn 20000 pool-max-conn 20000
frontend tls
  bind 127.0.0.1:TLSPORT
  use_backend tls2 if { fc_http_major 2 }
  default_backend tls1
backend tls2
  server s1 TLSUPSTREAM ssl verify required ca-file ROOTFILE sni str(SERVERNAME) alpn h2 maxconn 20000 pool-max-conn 20000
backend tls1
  server s1 TLSUPSTREAM ssl verify required ca-file ROOTFILE sni str(SERVERNAME) alpn http/1.1 maxconn 20000 pool-max-conn 20000
frontend bulk
  bind 127.0.0.1:BULKPORT
  use_backend bulk2 if { fc_http_major 2 }
  default_backend bulk1
backend bulk2
  server s1 BULKUPSTREAM proto h2
backend bulk1
  server s1 BULKUPSTREAM
listen opaque
  mode tcp
  option splice-auto
  bind 127.0.0.1:OPAQUEPORT
  server s1 OPAQUEUPSTREAM
`

// haproxyBlocksConfig has of a policy's blocks what haproxy has of its own, and no more: of time limits, retries, connection limits and queue those above, and a
// limit of rate, one of requests at once, a server that is given up after many errors, a header field more, and rules like those of the policy. It has nothing
// like hedging, adaptive limits and timeouts, budgets, and slow calls.
const haproxyBlocksConfig = `
global
  nbthread THREADS
  maxconn 10200
  no strict-limits
defaults
  mode http
  timeout connect 1s
  timeout client 1m
  timeout server 10s
  timeout queue 1s
  timeout http-request 10s
  retries 2
  retry-on conn-failure empty-response response-timeout 500 502 503 504
  option redispatch
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:PORT
  stick-table type integer size 1 expire 1m store http_req_rate(1s)
  http-request track-sc0 int(1)
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10000000 }
  http-request set-header fairlead-attempt 1
  use_backend other if { method PATCH }
  use_backend other if { path_beg /v1/reports }
  use_backend other if { hdr(host) -m end .elsewhere.example }
  use_backend other if { req.hdr(x-priority) -m str batch }
  use_backend out if { path_reg ^/((some|other)/.*)?$ } { req.hdr(user-agent) -m reg ^[a-z]+(/[0-9]+)?$ }
  default_backend other
backend out
  http-error status 503 content-type text/plain string "later"
  server s1 UPSTREAM maxconn 1000 maxqueue 100 pool-max-conn 20000 check inter 1m observe layer7 error-limit 1000 on-error mark-down
backend other
  http-request deny
`

const nginxConfig = `
worker_processes 1;
master_process off;
daemon off;
pid nginx.pid;
error_log stderr error;
worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off;
  keepalive_requests 100000000;
  upstream out { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:PORT;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    location / {
      proxy_pass http://out; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_connect_timeout 5s; proxy_read_timeout 2s; proxy_next_upstream error timeout http_502 http_503 http_504 non_idempotent; proxy_next_upstream_tries 3;
    }
  }
}
`

func proxyConfig(template string, port, threads int) string {
	words := []string{"THREADS", fmt.Sprint(threads), "ROOTFILE", rootFile, "SERVERNAME", serverName}
	for name, f := range map[string]front{"": plainFront, "TLS": tlsFront, "BULK": bulkFront, "OPAQUE": opaqueFront} {
		words = append(words, name+"PORT", fmt.Sprint(port+f.offset), name+"UPSTREAM", f.server().String())
	}
	return strings.NewReplacer(words...).Replace(template)
}
