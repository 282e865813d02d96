-- Keeps rooms that a node follows, and forgets those that nobody has used for long, and who has sent to them.
with kept as (
    update websocket_heartbeat.room set used = extract(epoch from clock_timestamp()) where name = any($1::bytea[])
), old as (
    delete from websocket_heartbeat.room
    where used < extract(epoch from clock_timestamp()) - $2::double precision and not name = any($1::bytea[])
    returning name
), posts as (
    delete from websocket_heartbeat.post where room in (select name from old)
)
delete from websocket_heartbeat.sender where used < extract(epoch from clock_timestamp()) - $2::double precision
