-- Leaves tombstones of sessions whose end is told.
with told as (
    update websocket_heartbeat.session set deadline = null, state = '', forget_at = $2::double precision
    where id = any($1::text[]) and end_kind is not null and deadline is not null
    returning id
)
delete from websocket_heartbeat.message where id in (select id from told)
