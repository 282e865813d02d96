-- Lets sessions expire now that had a link when their node died.
with dead as (
    delete from websocket_heartbeat.node
    where seen < extract(epoch from clock_timestamp()) - $1::double precision
    returning name
)
update websocket_heartbeat.session set deadline = $2::double precision
where node in (select name from dead) and deadline is null and end_kind is null
