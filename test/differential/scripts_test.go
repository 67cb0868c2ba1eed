package differential

// The client programs of languages. Each makes the usual calls and prints what it gets.

const pythonClient = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
def call(method, path, body=None, headers={}):
    try:
        c.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        r = c.getresponse()
        print(method, path, r.status, r.reason, len(r.read()), "will close:", r.will_close)
    except Exception as e:
        print(method, path, type(e).__name__, e)
        c.close()
call("GET", "/1")
call("POST", "/2", b"x" * 1000)
call("PUT", "/upload", iter([b"abc", b"def"]), {"Transfer-Encoding": "chunked"})
call("GET", "/chunked")
call("HEAD", "/3")
call("GET", "/status")
call("GET", "/big")
call("DELETE", "/4")
`

const pythonRequests = `
import requests, sys
s = requests.Session()
base = sys.argv[1]
def call(method, path, **more):
    try:
        r = s.request(method, base + path, timeout=2, **more)
        print(method, path, r.status_code, r.reason, len(r.content))
    except Exception as e:
        print(method, path, type(e).__name__)
call("GET", "/1", params={"a": "b c"})
call("POST", "/2", json={"x": [1, 2]})
call("POST", "/upload", data=(b"piece" for _ in range(100)))
call("GET", "/redirect")
call("GET", "/chunked")
call("GET", "/hang")
call("GET", "/after")
call("GET", "/close")
call("GET", "/after-close")
`

const nodeHTTP = `
const http = require('http');
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const [host, port] = process.argv.slice(1);
const call = (method, path, body) => new Promise(done => {
  const q = http.request({host, port, method, path, agent, headers: {Host: host + ':' + port}}, r => {
    let n = 0;
    r.on('data', d => n += d.length);
    r.on('end', () => { console.log(method, path, r.statusCode, r.statusMessage, n); done(); });
    r.on('error', e => { console.log(method, path, r.statusCode, e.code); done(); });
  });
  q.setTimeout(2000, () => q.destroy(new Error('timeout')));
  q.on('error', e => { console.log(method, path, e.message); done(); });
  if (body) q.write(body);
  q.end();
});
(async () => {
  await call('GET', '/1');
  await call('POST', '/2', 'x'.repeat(1000));
  await call('GET', '/chunked');
  await call('GET', '/big');
  await call('GET', '/close');
  await call('GET', '/after');
  await call('GET', '/slow');
  agent.destroy();
})();
`

const nodeFetch = `
const base = process.argv[1];
const call = async (method, path, more) => {
  try {
    const r = await fetch(base + path, {method, ...more});
    console.log(method, path, r.status, (await r.arrayBuffer()).byteLength);
  } catch (e) { console.log(method, path, e.name); }
};
(async () => {
  await call('GET', '/1');
  await call('POST', '/2', {body: 'abc'});
  await call('PUT', '/upload', {body: new Blob(['x'.repeat(100000)])});
  await call('GET', '/redirect');
  await call('GET', '/hang', {signal: AbortSignal.timeout(1000)});
  await call('GET', '/after');
})();
`

const javaClient = `
import java.net.URI;
import java.net.http.*;
import java.time.Duration;

public class Client {
  public static void main(String[] args) throws Exception {
    HttpClient c = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
    call(c, args[0], "GET", "/1", null);
    call(c, args[0], "POST", "/2", "x".repeat(1000));
    call(c, args[0], "GET", "/redirect", null);
    call(c, args[0], "GET", "/chunked", null);
    call(c, args[0], "GET", "/after", null);
    System.exit(0);
  }

  static void call(HttpClient c, String base, String method, String path, String body) {
    HttpRequest q = HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(2))
        .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body)).build();
    try {
      HttpResponse<String> r = c.send(q, HttpResponse.BodyHandlers.ofString());
      System.out.println(method + " " + path + " " + r.statusCode() + " " + r.version() + " " + r.body().length());
    } catch (Exception e) {
      System.out.println(method + " " + path + " " + e.getClass().getSimpleName());
    }
  }
}
`

const javaOld = `
import java.io.*;
import java.net.*;

public class Old {
  public static void main(String[] args) throws Exception {
    call(args[0], "GET", "/1", null);
    call(args[0], "POST", "/2", "x".repeat(1000));
    call(args[0], "GET", "/chunked", null);
    call(args[0], "GET", "/status", null);
    call(args[0], "GET", "/after", null);
  }

  static void call(String base, String method, String path, String body) {
    try {
      HttpURLConnection c = (HttpURLConnection) new URL(base + path).openConnection();
      c.setRequestMethod(method);
      c.setReadTimeout(2000);
      if (body != null) {
        c.setDoOutput(true);
        c.getOutputStream().write(body.getBytes());
      }
      int status = c.getResponseCode();
      InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream();
      System.out.println(method + " " + path + " " + status + " " + in.readAllBytes().length);
    } catch (Exception e) {
      System.out.println(method + " " + path + " " + e.getClass().getSimpleName());
    }
  }
}
`
