import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Says which application, version and node answers. Ready when /health answers 200; finishes requests on SIGTERM. */
public final class SimpleWebApp2 {
    static final String VERSION = "1.0.0";
    static final int DRAIN_SECONDS = 10;

    static volatile boolean draining;

    public static void main(String[] arguments) throws Exception {
        boolean warmUp = arguments.length == 1 && arguments[0].equals("--warm-up");
        int port = warmUp ? 0 : Integer.parseInt(setting("PORT", "8080"));
        var name = setting("APPLICATION", "simplewebapp2");
        var node = setting("NODE_NAME", setting("HOSTNAME", "an unnamed node"));

        var workers = Executors.newFixedThreadPool(16);
        var server = HttpServer.create(new InetSocketAddress(port), 128);
        server.setExecutor(workers);
        server.createContext("/", exchange -> answer(exchange, 200, name + " " + VERSION + " on " + node));
        server.createContext("/health", exchange -> answer(exchange, draining ? 503 : 200, draining ? "draining" : "ready"));
        server.start();
        int bound = server.getAddress().getPort();
        System.out.println(name + " " + VERSION + " listens on port " + bound);

        if (warmUp) {
            askOnce(bound);
            server.stop(0);
            workers.shutdown();
            return;
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            draining = true;
            workers.shutdown();
            try {
                workers.awaitTermination(DRAIN_SECONDS, TimeUnit.SECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            server.stop(0);
            System.out.println(name + " ended");
        }));
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = (text + "\n").getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, head ? -1 : body.length);
        try (var out = exchange.getResponseBody()) {
            if (!head) {
                out.write(body);
            }
        }
    }

    /** One request to itself, so that the classes of a request are in the class archive that the image carries. */
    static void askOnce(int port) throws IOException {
        try (var socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            socket.getInputStream().readAllBytes();
        }
    }

    static String setting(String name, String fallback) {
        var value = System.getenv(name);
        return value == null || value.isEmpty() ? fallback : value;
    }
}
