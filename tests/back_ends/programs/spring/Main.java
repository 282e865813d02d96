// Tomcat, embedded, with the example of examples/back_ends/spring, and with a handler that leaves everything to Spring.
// Takes orders and tells events by lines of words between tabs.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import javax.websocket.Session;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;
import org.springframework.context.annotation.Bean;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.HandlerMapping;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.config.annotation.ServletWebSocketHandlerRegistry;
import org.springframework.web.socket.adapter.NativeWebSocketSession;
import org.springframework.web.socket.handler.ConcurrentWebSocketSessionDecorator;
import org.springframework.web.socket.handler.SessionLimitExceededException;
import org.springframework.web.socket.handler.TextWebSocketHandler;

public class Main {
    /** The example, with work that takes time. */
    static class BusyHandler extends FeedHandler {
        @Override
        void work(Client client, WebSocketMessage<?> message) throws Exception {
            block(message);
            super.work(client, message);
        }

        @Override
        public void afterConnectionEstablished(WebSocketSession session) {
            super.afterConnectionEstablished(session);
            // The container's own 20 s are long for a test.
            ((NativeWebSocketSession) session).getNativeSession(Session.class).getUserProperties()
                .put("org.apache.tomcat.websocket.BLOCKING_SEND_TIMEOUT", (long) SEND_TIMEOUT);
            tell("open");
        }

        @Override
        public void afterConnectionClosed(WebSocketSession session, CloseStatus status) {
            super.afterConnectionClosed(session, status);
            tell("closed");
        }
    }

    static class Plain extends TextWebSocketHandler {
        final Map<String, WebSocketSession> sessions = new ConcurrentHashMap<>();

        @Override
        public void afterConnectionEstablished(WebSocketSession session) {
            sessions.put(session.getId(), new ConcurrentWebSocketSessionDecorator(session, 10_000, 1 << 16));
            tell("open");
        }

        @Override
        protected void handleTextMessage(WebSocketSession session, TextMessage message) throws Exception {
            if (message.getPayload().startsWith("flood ")) {
                // From two threads: the one that finds the other sending puts what it sends into the buffer.
                for (int thread = 0; thread < 2; thread++) {
                    new Thread(() -> flood(session, message)).start();
                }
            } else {
                block(message);
                session.sendMessage(message);
            }
        }

        private void flood(WebSocketSession session, TextMessage message) {
            WebSocketSession shared = sessions.get(session.getId());
            try {
                for (int left = Integer.parseInt(message.getPayload().substring(6)); left > 0; left--) {
                    shared.sendMessage(new TextMessage(filler()));
                }
            } catch (SessionLimitExceededException tooSlow) {
                close(shared, tooSlow.getStatus()); // as Spring's own SubProtocolWebSocketHandler does
            } catch (IOException error) {
                close(shared, CloseStatus.SERVER_ERROR);
            }
        }

        private static void close(WebSocketSession session, CloseStatus status) {
            try {
                session.close(status);
            } catch (IOException error) {
                // It is gone already.
            }
        }

        @Override
        public void afterConnectionClosed(WebSocketSession session, CloseStatus status) {
            tell("closed");
        }
    }

    /** Not with @EnableWebSocket itself: it needs a cglib that Debian's Spring has no more. */
    static class Beans {
        @Bean
        public FeedHandler feed() {
            return new BusyHandler();
        }

        @Bean
        public HandlerMapping mapping(FeedHandler feed) {
            ServletWebSocketHandlerRegistry registry =
                new ServletWebSocketHandlerRegistry(new ThreadPoolTaskScheduler());
            FeedConfig config = new FeedConfig() {
                @Override
                public FeedHandler feed() {
                    return feed;
                }
            };
            config.registerWebSocketHandlers(registry);
            registry.addHandler(new Plain(), "/plain");
            return registry.getHandlerMapping();
        }
    }

    static String filler() {
        return String.join("", Collections.nCopies(1 << 16, "x"));
    }

    static void block(WebSocketMessage<?> message) throws InterruptedException {
        if (message instanceof TextMessage && ((TextMessage) message).getPayload().startsWith("block ")) {
            Thread.sleep(Long.parseLong(((TextMessage) message).getPayload().substring(6)));
        }
    }

    static synchronized void tell(Object... event) {
        System.out.println(Arrays.stream(event).map(String::valueOf).collect(Collectors.joining("\t")));
    }

    static void obey(FeedHandler feed, String[] order) throws Exception {
        if (order[0].equals("away")) {
            feed.sendAway(Double.parseDouble(order[1]));
            return;
        }
        for (FeedHandler.Client client : feed.clients.values()) {
            switch (order[0]) {
                case "dismiss":
                    client.dismiss(order[1]);
                    break;
                case "close":
                    if (order.length == 1) {
                        client.session.close();
                    } else {
                        client.session.close(new CloseStatus(Integer.parseInt(order[1]), order[2]));
                    }
                    break;
                case "parts":
                    for (int place = 1; place < order.length; place++) {
                        client.session.sendMessage(new TextMessage(order[place], place == order.length - 1));
                    }
                    break;
                case "flood":
                    feed.workers.execute(() -> flood(client, Integer.parseInt(order[1])));
                    break;
                default:
                    throw new IllegalArgumentException(order[0]);
            }
        }
    }

    private static void flood(FeedHandler.Client client, int count) {
        try {
            for (int sent = 0; sent < count; sent++) {
                client.send(new TextMessage(filler()));
            }
            tell("flooded");
        } catch (IOException | RuntimeException error) {
            tell("stuck");
        }
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setPort(0);
        Context context = tomcat.addContext("", null);
        context.addServletContainerInitializer(new WsSci(), Collections.emptySet());
        AnnotationConfigWebApplicationContext spring = new AnnotationConfigWebApplicationContext();
        spring.register(Beans.class);
        Tomcat.addServlet(context, "spring", new DispatcherServlet(spring)).setLoadOnStartup(1);
        context.addServletMappingDecoded("/", "spring");
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        tomcat.start();
        // As Spring Boot has it: the application ends before its server.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                spring.close();
                tomcat.stop();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        tell("port", tomcat.getConnector().getLocalPort());
        FeedHandler feed = spring.getBean(FeedHandler.class);
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            obey(feed, line.split("\t"));
        }
        System.exit(0);
    }
}
