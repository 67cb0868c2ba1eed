// Calls a URL N times with http2, all at once on one connection, and prints status and version of each.
const http2 = require('http2');
const [url, n] = process.argv.slice(2);
const {origin, pathname, search} = new URL(url);
const session = http2.connect(origin);
session.on('error', e => { console.log(e); process.exit(1); });
let open = +n;
for (let i = 0; i < n; i++) {
  const s = session.request({':path': pathname + search});
  let status;
  s.on('response', h => { status = h[':status']; });
  s.on('error', e => { console.log(e); });
  s.on('end', () => console.log(status, 2));
  s.on('close', () => { if (--open === 0) session.close(); });
  s.resume();
  s.end();
}
