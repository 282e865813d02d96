-- Returns the logs of sessions.
select id, number, data from websocket_heartbeat.message where id = any($1::text[])
