// Calls a URL N times with http or https, over kept connections, and prints status and version of each.
const [url, n] = process.argv.slice(2);
const lib = require(url.startsWith('https:') ? 'https' : 'http');
const agent = new lib.Agent({keepAlive: true, maxSockets: 1});
const call = () => new Promise((done, failed) => {
  lib.get(url, {agent}, r => {
    r.resume();
    r.on('error', failed);
    r.on('end', () => { console.log(r.statusCode, r.httpVersion); done(); });
  }).on('error', failed);
});
(async () => {
  for (let i = 0; i < n; i++) await call();
  agent.destroy();
})().catch(e => { console.log(e); process.exit(1); });
