// A back end on Spring's handler API that keeps the agreement of docs/back-ends.md; FeedConfig.java gives it a path.
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.springframework.context.ApplicationListener;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.web.socket.BinaryMessage;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.PingMessage;
import org.springframework.web.socket.PongMessage;
import org.springframework.web.socket.SubProtocolCapable;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.handler.AbstractWebSocketHandler;
import org.springframework.web.socket.handler.ConcurrentWebSocketSessionDecorator;
import org.springframework.web.socket.handler.SessionLimitExceededException;

public class FeedHandler extends AbstractWebSocketHandler
        implements SubProtocolCapable, ApplicationListener<ContextClosedEvent> {
    static final String HEARTBEAT = "heartbeat"; // the pingMsg of clients, or the message of their Heartbeat
    static final String DISMISSAL = "dismissed"; // the dismissal of clients
    static final long IDLE_TIMEOUT = Long.getLong("idle_timeout", 60_000); // ms of silence
    static final int SEND_TIMEOUT = Integer.getInteger("send_timeout", 10_000); // ms that a client may not read
    static final int WRITE_LIMIT = 4 << 20; // bytes that may wait for one client
    static final int MAX_MESSAGE = 4 << 20; // characters or bytes

    final Map<String, Client> clients = new ConcurrentHashMap<>(); // by the id of the session
    final ExecutorService workers = Executors.newCachedThreadPool();
    private final ScheduledExecutorService patrol = Executors.newSingleThreadScheduledExecutor();

    class Client {
        final ConcurrentWebSocketSessionDecorator session; // several threads may send
        private CompletableFuture<Void> work = CompletableFuture.completedFuture(null);
        private final Semaphore places = new Semaphore(64); // messages that may wait for this client's work
        private volatile boolean silent;
        private StringBuilder text = new StringBuilder(); // what has come of a text
        private ByteArrayOutputStream bytes = new ByteArrayOutputStream(); // what has come of a binary message

        Client(WebSocketSession session) {
            this.session = new ConcurrentWebSocketSessionDecorator(session, SEND_TIMEOUT, WRITE_LIMIT);
        }

        /** Waits until the client takes it, or until another thread that sends has taken it over. */
        void send(WebSocketMessage<?> message) throws IOException {
            try {
                session.sendMessage(message);
            } catch (SessionLimitExceededException tooSlow) {
                // Spring's own code for this is 4500, which tells clients never to come back.
                session.getDelegate().close(new CloseStatus(1013, "reads too slowly"));
            }
        }

        /** For good: by the message where no close code arrives, as in Alipay, and by a code of 4500 to 4999. */
        void dismiss(String reason) throws IOException {
            send(new TextMessage(DISMISSAL));
            session.close(new CloseStatus(4500, reason)); // at most 123 bytes of UTF-8
        }

        private void hand(WebSocketMessage<?> message) throws InterruptedException {
            places.acquire();
            work = work.thenRunAsync(() -> {
                try {
                    work(this, message);
                } catch (Exception error) {
                    error.printStackTrace();
                } finally {
                    places.release();
                }
            }, workers);
        }

        private void look() {
            try {
                if (silent) {
                    session.getDelegate().close(CloseStatus.GOING_AWAY);
                } else {
                    silent = true;
                    send(new PingMessage());
                }
            } catch (IOException | RuntimeException error) {
                // It is closing.
            }
        }
    }

    public FeedHandler() {
        // A client that was silent for half of IDLE_TIMEOUT is pinged, and dropped half of it later.
        patrol.scheduleAtFixedRate(
            () -> clients.values().forEach(client -> workers.execute(client::look)),
            IDLE_TIMEOUT / 2, IDLE_TIMEOUT / 2, TimeUnit.MILLISECONDS);
    }

    /** Your own code: one message of a client after the other, for as long as it likes. */
    void work(Client client, WebSocketMessage<?> message) throws Exception {
        client.send(message);
    }

    @Override
    public List<String> getSubProtocols() {
        return Collections.singletonList("v1");
    }

    @Override
    public void afterConnectionEstablished(WebSocketSession session) {
        clients.put(session.getId(), new Client(session));
    }

    /** In one part messages are limited to 8192, and a higher limit takes as much memory for each client. */
    @Override
    public boolean supportsPartialMessages() {
        return true;
    }

    // The container reads nothing, not even a ping, while one of these runs: hand over, and return.
    @Override
    protected void handleTextMessage(WebSocketSession session, TextMessage part) throws Exception {
        Client client = heard(session);
        client.text.append(part.getPayload());
        if (client.text.length() > MAX_MESSAGE) {
            client.session.close(CloseStatus.TOO_BIG_TO_PROCESS);
        } else if (part.isLast()) {
            TextMessage message = new TextMessage(client.text);
            client.text = new StringBuilder();
            if (message.getPayload().equals(HEARTBEAT)) {
                client.send(message);
            } else {
                client.hand(message);
            }
        }
    }

    @Override
    protected void handleBinaryMessage(WebSocketSession session, BinaryMessage part) throws Exception {
        Client client = heard(session);
        byte[] bytes = new byte[part.getPayload().remaining()];
        part.getPayload().get(bytes);
        client.bytes.write(bytes);
        if (client.bytes.size() > MAX_MESSAGE) {
            client.session.close(CloseStatus.TOO_BIG_TO_PROCESS);
        } else if (part.isLast()) {
            BinaryMessage message = new BinaryMessage(client.bytes.toByteArray());
            client.bytes = new ByteArrayOutputStream();
            client.hand(message);
        }
    }

    @Override
    protected void handlePongMessage(WebSocketSession session, PongMessage message) {
        heard(session);
    }

    private Client heard(WebSocketSession session) {
        Client client = clients.get(session.getId());
        client.silent = false;
        return client;
    }

    @Override
    public void afterConnectionClosed(WebSocketSession session, CloseStatus status) {
        clients.remove(session.getId());
    }

    /** Before a restart: every client comes back, at a moment of its own within so many seconds. */
    void sendAway(double seconds) {
        List<Client> all = new ArrayList<>(clients.values());
        for (int place = 1; place <= all.size(); place++) {
            Client client = all.get(place - 1);
            String hint = String.format(Locale.ROOT, "restarting; retry-after=%.1f", seconds * place / all.size());
            workers.execute(() -> {
                try {
                    client.session.close(CloseStatus.SERVICE_RESTARTED.withReason(hint)); // 1012
                } catch (IOException error) {
                    // It is gone already.
                }
            });
        }
    }

    /** The application ends: Spring tells so before it stops the server, which would close with 1001. */
    @Override
    public void onApplicationEvent(ContextClosedEvent event) {
        sendAway(30);
        patrol.shutdown();
        workers.shutdown();
        try {
            workers.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException error) {
            // Then there is no time left.
        }
    }
}
