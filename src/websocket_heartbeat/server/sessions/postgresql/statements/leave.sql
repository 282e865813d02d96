-- Has the sessions of a node that have a link expire at a deadline, as it leaves.
with gone as (
    delete from websocket_heartbeat.node where name = $1::text
)
update websocket_heartbeat.session set deadline = $2::double precision
where node = $1::text and deadline is null and end_kind is null
