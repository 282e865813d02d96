// Tomcat, embedded, with the example of examples/back_ends/tomcat, and with an endpoint that leaves everything to
// Tomcat. Takes orders and tells events by lines of words between tabs.
import jakarta.websocket.OnClose;
import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerEndpoint;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Set;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;

public class Main {
    /** The example, with work that takes time. */
    @ServerEndpoint(value = "/feed", subprotocols = "v1")
    public static class BusyFeed extends Feed {
        @Override
        void work(Object message) throws Exception {
            block(message);
            super.work(message);
        }

        @OnOpen
        public void open(Session session) {
            super.open(session);
            tell("open");
        }

        @OnClose
        public void close() {
            super.close();
            tell("closed");
        }
    }

    @ServerEndpoint("/plain")
    public static class Plain {
        @OnOpen
        public void open(Session session) {
            tell("open");
        }

        @OnMessage
        public String message(String message) throws Exception {
            block(message);
            return message;
        }

        @OnClose
        public void close() {
            tell("closed");
        }
    }

    static void block(Object message) throws InterruptedException {
        if (message instanceof String text && text.startsWith("block ")) {
            Thread.sleep(Long.parseLong(text.substring(6)));
        }
    }

    static synchronized void tell(Object... event) {
        System.out.println(String.join("\t", Arrays.stream(event).map(String::valueOf).toList()));
    }

    static void obey(String[] order) throws Exception {
        if (order[0].equals("away")) {
            Feed.sendAway(Double.parseDouble(order[1]));
            return;
        }
        for (Feed client : Feed.CLIENTS) {
            switch (order[0]) {
                case "dismiss" -> client.dismiss(order[1]);
                case "close" -> {
                    if (order.length == 1) {
                        client.session.close();
                    } else {
                        client.end(Integer.parseInt(order[1]), order[2]);
                    }
                }
                case "parts" -> {
                    for (int place = 1; place < order.length; place++) {
                        client.session.getBasicRemote().sendText(order[place], place == order.length - 1);
                    }
                }
                case "flood" -> Feed.WORKERS.execute(() -> {
                    int sent = 0;
                    try {
                        for (; sent < Integer.parseInt(order[1]); sent++) {
                            client.send("x".repeat(1 << 16));
                        }
                        tell("flooded");
                    } catch (Exception error) {
                        tell("stuck");
                    }
                });
                default -> throw new IllegalArgumentException(order[0]);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setPort(0);
        Context context = tomcat.addContext("", null);
        context.addServletContainerInitializer(new WsSci(), Set.of(BusyFeed.class, Plain.class));
        Tomcat.addServlet(context, "default", "org.apache.catalina.servlets.DefaultServlet");
        context.addServletMappingDecoded("/", "default"); // without a servlet the filter of WebSocket is not asked
        context.addServletContainerInitializer(new Feed.Parting(), Set.of());
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        tomcat.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                tomcat.stop();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        tell("port", tomcat.getConnector().getLocalPort());
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            obey(line.split("\t"));
        }
        System.exit(0);
    }
}
