import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** Opens a websocket, sends each line of its standard input as a message, and prints what comes. */
public class Chat {
  static final CompletableFuture<Void> over = new CompletableFuture<>();

  public static void main(String[] args) throws Exception {
    WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(URI.create(args[0]), new Printer()).join();
    System.out.println("open");
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      socket.sendText(line, true).join();
    }
    socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
    over.join();
  }

  static class Printer implements WebSocket.Listener {
    @Override public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
      System.out.println("received " + data);
      socket.request(1);
      return null;
    }

    @Override public CompletionStage<?> onClose(WebSocket socket, int status, String reason) {
      System.out.println("closed");
      over.complete(null);
      return null;
    }

    @Override public void onError(WebSocket socket, Throwable error) {
      System.out.println("lost");
      System.exit(0);
    }
  }
}
