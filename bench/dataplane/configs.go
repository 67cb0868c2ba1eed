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
