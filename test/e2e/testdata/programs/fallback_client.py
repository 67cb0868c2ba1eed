# Calls a URL at an address as clients of HTTP/3 do: packets of UDP to port 443 first, and TLS over TCP to another port where these are refused. It
# prints which of both it has used. Without an answer or an error it sends for ever.
import http.client, socket, ssl, sys
address, port, name, path = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((address, 443))
while True:
    try:
        s.send(b"hello")
        s.recv(100)
        print("UDP")
        break
    except socket.timeout:
        continue
    except OSError:
        context = ssl.create_default_context()
        c = http.client.HTTPSConnection(name, int(port), context=context)
        c.sock = context.wrap_socket(socket.create_connection((address, int(port))), server_hostname=name)
        c.request("GET", path)
        print("TCP", c.getresponse().status)
        break
