// A back end on Jakarta WebSocket, as in Tomcat, that keeps the agreement of docs/back-ends.md.
import jakarta.servlet.ServletContainerInitializer;
import jakarta.servlet.ServletContext;
import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.CloseReason;
import jakarta.websocket.OnClose;
import jakarta.websocket.OnError;
import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerEndpoint;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** One client: the container makes an object for each connection. */
@ServerEndpoint(value = "/feed", subprotocols = "v1")
public class Feed {
    static final String HEARTBEAT = "heartbeat"; // the pingMsg of clients, or the message of their Heartbeat
    static final String DISMISSAL = "dismissed"; // the dismissal of clients
    static final long IDLE_TIMEOUT = Long.getLong("idle_timeout", 60_000); // ms of silence
    static final long SEND_TIMEOUT = Long.getLong("send_timeout", 10_000); // ms that a client may not read
    static final int MAX_MESSAGE = 4 << 20; // characters or bytes

    static final Set<Feed> CLIENTS = ConcurrentHashMap.newKeySet();
    static final ExecutorService WORKERS = Executors.newCachedThreadPool();
    static final ScheduledExecutorService PATROL = Executors.newSingleThreadScheduledExecutor();

    Session session;
    private CompletableFuture<Void> work = CompletableFuture.completedFuture(null);
    private final Semaphore places = new Semaphore(64); // messages that may wait for this client's work
    private StringBuilder text = new StringBuilder(); // what has come of a text
    private ByteArrayOutputStream bytes = new ByteArrayOutputStream(); // what has come of a binary message

    static {
        // A silent client is pinged, and so does not stay silent unless it is dead.
        PATROL.scheduleAtFixedRate(
            () -> CLIENTS.forEach(client -> WORKERS.execute(client::ping)),
            IDLE_TIMEOUT / 3, IDLE_TIMEOUT / 3, TimeUnit.MILLISECONDS);
    }

    /** Your own code: one message of a client after the other, for as long as it likes. */
    void work(Object message) throws Exception {
        send(message);
    }

    @OnOpen
    public void open(Session session) {
        this.session = session;
        // Tomcat's own names. Its maxIdleTimeout counts our pings as life of the client; this does not.
        session.getUserProperties().put("org.apache.tomcat.websocket.READ_IDLE_TIMEOUT_MS", IDLE_TIMEOUT);
        session.getUserProperties().put("org.apache.tomcat.websocket.BLOCKING_SEND_TIMEOUT", SEND_TIMEOUT);
        CLIENTS.add(this);
    }

    // The container reads nothing, not even a ping, while one of these runs: hand over, and return. Messages come in
    // parts of 8192: in one part they are limited to that, and a higher limit takes as much memory for each client.
    @OnMessage
    public void text(String part, boolean last) throws Exception {
        text.append(part);
        if (text.length() > MAX_MESSAGE) {
            end(1009, "at most " + MAX_MESSAGE + " characters");
        } else if (last) {
            String message = text.toString();
            text = new StringBuilder();
            if (message.equals(HEARTBEAT)) {
                send(HEARTBEAT);
            } else {
                hand(message);
            }
        }
    }

    @OnMessage
    public void binary(byte[] part, boolean last) throws Exception {
        bytes.write(part);
        if (bytes.size() > MAX_MESSAGE) {
            end(1009, "at most " + MAX_MESSAGE + " bytes");
        } else if (last) {
            ByteBuffer message = ByteBuffer.wrap(bytes.toByteArray());
            bytes = new ByteArrayOutputStream();
            hand(message);
        }
    }

    private void hand(Object message) throws Exception {
        places.acquire();
        work = work.thenRunAsync(() -> {
            try {
                work(message);
            } catch (Exception error) {
                error.printStackTrace();
            } finally {
                places.release();
            }
        }, WORKERS);
    }

    @OnClose
    public void close() {
        CLIENTS.remove(this);
    }

    @OnError
    public void error(Throwable error) {
        // A connection that is lost comes here, too; close() follows.
    }

    /** Sends text or bytes; waits until the client takes it. Two threads at once are an error to the container. */
    synchronized void send(Object message) throws IOException {
        if (message instanceof String text) {
            session.getBasicRemote().sendText(text);
        } else {
            session.getBasicRemote().sendBinary((ByteBuffer) message);
        }
    }

    private synchronized void ping() {
        try {
            session.getBasicRemote().sendPing(ByteBuffer.allocate(0));
        } catch (IOException | RuntimeException error) {
            // It is closing.
        }
    }

    /** For good: by the message where no close code arrives, as in Alipay, and by a code of 4500 to 4999. */
    void dismiss(String reason) throws IOException {
        send(DISMISSAL);
        end(4500, reason);
    }

    void end(int code, String reason) throws IOException {
        session.close(new CloseReason(CloseReason.CloseCodes.getCloseCode(code), reason)); // at most 123 bytes of UTF-8
    }

    /** Before a restart: every client comes back, at a moment of its own within so many seconds. */
    static void sendAway(double seconds) {
        Feed[] clients = CLIENTS.toArray(new Feed[0]);
        for (int place = 1; place <= clients.length; place++) {
            Feed client = clients[place - 1];
            String hint = String.format(Locale.ROOT, "restarting; retry-after=%.1f", seconds * place / clients.length);
            WORKERS.execute(() -> {
                try {
                    client.end(1012, hint);
                } catch (IOException error) {
                    // It is gone already.
                }
            });
        }
    }

    /**
     * Named in META-INF/services/jakarta.servlet.ServletContainerInitializer. Tomcat itself closes with 1001, and all
     * come back at once. A listener that is added here is told before that; one with @WebListener is told after it.
     */
    public static class Parting implements ServletContainerInitializer, ServletContextListener {
        @Override
        public void onStartup(Set<Class<?>> classes, ServletContext context) {
            context.addListener(this);
        }

        @Override
        public void contextDestroyed(ServletContextEvent event) {
            sendAway(30);
            PATROL.shutdown();
            WORKERS.shutdown();
            try {
                WORKERS.awaitTermination(5, TimeUnit.SECONDS);
            } catch (InterruptedException error) {
                // Then there is no time left.
            }
        }
    }
}
