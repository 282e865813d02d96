-- Forgets the logs of sessions, and returns them.
delete from websocket_heartbeat.message where id = any($1::text[]) returning id, number, data
