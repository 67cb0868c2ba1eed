# Calls METHOD of fairlead.e2e.Echo at TARGET N times, "plain" or over "tls", each with a deadline and the metadata name=value ..., and prints the
# status of each. The metadata messages=M makes a call a stream of M messages of the server's.
import grpc, sys

transport, target, method, n, timeout = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
metadata = [tuple(p.split("=", 1)) for p in sys.argv[6:]]
messages = int(dict(metadata).get("messages", 0))
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials()) if transport == "tls" else grpc.insecure_channel(target)
with channel:
    path = "/fairlead.e2e.Echo/" + method
    for _ in range(n):
        try:
            if messages:
                answers = list(channel.unary_stream(path)(b"hello", metadata=metadata, timeout=timeout))
            else:
                answers = [channel.unary_unary(path)(b"hello", metadata=metadata, timeout=timeout)]
            print("OK" if answers == [b"hello"] * (messages or 1) else "other messages: %r" % answers)
        except grpc.RpcError as e:
            print(e.code().name)
