import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Calls a URL N times with java.net.http, and prints status and version of each. */
public class HttpCalls {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    for (int i = 0; i < Integer.parseInt(args[1]); i++) {
      HttpResponse<String> r = client.send(HttpRequest.newBuilder(URI.create(args[0])).build(), HttpResponse.BodyHandlers.ofString());
      System.out.println(r.statusCode() + (r.version() == HttpClient.Version.HTTP_2 ? " 2" : " 1.1"));
    }
  }
}
