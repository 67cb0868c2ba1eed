# Calls a URL N times with http.client, over kept connections, and prints status and version of each.
import http.client, ssl, sys, urllib.parse

url, n = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
if url.scheme == "https":
    c = http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context())
else:
    c = http.client.HTTPConnection(url.hostname, url.port)
for _ in range(n):
    c.request("GET", url.path + "?" + url.query)
    r = c.getresponse()
    r.read()
    print(r.status, "%d.%d" % divmod(r.version, 10))
