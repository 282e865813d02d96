"""websocket-client: `WebSocketApp.run_forever` with ping_interval, ping_timeout and reconnect."""

import websocket

from benchmarks.torture.user import User


def run(user: User) -> None:
    websocket.setdefaulttimeout(user.open_timeout)

    def opened(app: websocket.WebSocketApp) -> None:
        user.opened(app.send, app.close)

    app = websocket.WebSocketApp(
        user.url,
        header=user.headers,
        on_open=opened,
        on_reconnect=opened,
        on_message=lambda app, text: user.message_now(text),
        on_error=lambda app, error: user.failed(error),
        on_close=lambda app, code, reason: user.lost(f"{code} {reason}"),
    )
    # The timeout must be less than the interval; the sum is that of the others.
    total = user.interval + user.timeout
    app.run_forever(ping_interval=total * 0.6, ping_timeout=total * 0.4, reconnect=1)
