# Sends a packet of UDP to an address and a port, again every second, until there is an answer or an error, and prints which.
import socket, sys

s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        s.send(b"hello")
        print("answered", s.recv(100).decode())
        break
    except socket.timeout:
        continue
    except OSError as e:
        print(type(e).__name__)
        break
