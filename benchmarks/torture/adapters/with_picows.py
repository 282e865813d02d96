"""picows: `ws_connect` with a listener and its automatic ping."""

import picows

from benchmarks.torture.user import User


class Listener(picows.WSListener):
    def __init__(self, user: User) -> None:
        self.user = user

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        def send(text: str) -> None:
            transport.send(picows.WSMsgType.TEXT, text.encode())

        async def close() -> None:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
            await transport.wait_disconnected()

        self.user.opened(send, close)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT:
            self.user.message_now(frame.get_payload_as_utf8_text())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.user.lost(transport.close_handshake)


async def run(user: User) -> None:
    try:
        transport, _ = await picows.ws_connect(
            lambda: Listener(user),
            user.url,
            enable_auto_ping=True,
            auto_ping_idle_timeout=user.interval,
            auto_ping_reply_timeout=user.timeout,
            websocket_handshake_timeout=user.open_timeout,
            extra_headers=user.headers,
        )
        try:
            await transport.wait_disconnected()
        finally:
            transport.disconnect()
    except Exception as error:
        user.failed(error)
