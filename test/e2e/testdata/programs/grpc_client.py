# Calls METHOD of fairlead.e2e.Echo at TARGET N times, each with a deadline and the metadata name=value ..., and prints the status of each.
import grpc, sys

target, method, n, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
metadata = [tuple(p.split("=", 1)) for p in sys.argv[5:]]
with grpc.insecure_channel(target) as channel:
    call = channel.unary_unary("/fairlead.e2e.Echo/" + method)
    for _ in range(n):
        try:
            answer = call(b"hello", metadata=metadata, timeout=timeout)
            print("OK" if answer == b"hello" else "another message: %r" % answer)
        except grpc.RpcError as e:
            print(e.code().name)
