-- Notes that a node lives.
insert into websocket_heartbeat.node values ($1::text, extract(epoch from clock_timestamp()))
on conflict (name) do update set seen = excluded.seen
