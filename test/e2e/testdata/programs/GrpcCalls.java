import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** As grpc_client.py, but for TLS: the Netty that Debian builds lacks ALPN. */
public class GrpcCalls {
  public static void main(String[] args) throws Exception {
    if (!args[0].equals("plain")) throw new IllegalArgumentException(args[0]);
    ManagedChannel connection = NettyChannelBuilder.forTarget(args[1]).usePlaintext().build();
    int messages = 0;
    Metadata metadata = new Metadata();
    for (int i = 5; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      metadata.put(Metadata.Key.of(pair[0], Metadata.ASCII_STRING_MARSHALLER), pair[1]);
      if (pair[0].equals("messages")) messages = Integer.parseInt(pair[1]);
    }
    Channel channel = ClientInterceptors.intercept(connection, MetadataUtils.newAttachHeadersInterceptor(metadata));
    for (int i = 0; i < Integer.parseInt(args[3]); i++) {
      System.out.println(call(channel, args[2], messages, (long) (1000 * Double.parseDouble(args[4]))));
    }
    connection.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
  }

  static String call(Channel channel, String method, int messages, long millis) {
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(millis, TimeUnit.MILLISECONDS);
    List<String> answers = new ArrayList<>();
    try {
      if (messages > 0) {
        ClientCalls.blockingServerStreamingCall(channel, named(method, MethodDescriptor.MethodType.SERVER_STREAMING), options, "hello").forEachRemaining(answers::add);
      } else {
        answers.add(ClientCalls.blockingUnaryCall(channel, named(method, MethodDescriptor.MethodType.UNARY), options, "hello"));
      }
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode().name();
    }
    return answers.equals(Collections.nCopies(Math.max(messages, 1), "hello")) ? "OK" : "other messages: " + answers;
  }

  static MethodDescriptor<String, String> named(String method, MethodDescriptor.MethodType kind) {
    return MethodDescriptor.newBuilder(new Text(), new Text()).setType(kind)
        .setFullMethodName(MethodDescriptor.generateFullMethodName("fairlead.e2e.Echo", method)).build();
  }

  /** Messages are their bytes. */
  static class Text implements MethodDescriptor.Marshaller<String> {
    @Override public InputStream stream(String message) {
      return new ByteArrayInputStream(message.getBytes(StandardCharsets.UTF_8));
    }

    @Override public String parse(InputStream message) {
      try {
        return new String(message.readAllBytes(), StandardCharsets.UTF_8);
      } catch (java.io.IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
    }
  }
}
