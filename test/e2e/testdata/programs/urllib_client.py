# Calls a URL N times with urllib, each time over a connection of its own, and prints status and version of each.
import ssl, sys, urllib.error, urllib.request

context = ssl.create_default_context()
for _ in range(int(sys.argv[2])):
    try:
        with urllib.request.urlopen(sys.argv[1], context=context) as r:
            r.read()
            print(r.status, "%d.%d" % divmod(r.version, 10))
    except urllib.error.HTTPError as e:
        print(e.code)
