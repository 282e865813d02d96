-- Lets go of the sessions of a node that leaves; those that have a link expire at a deadline. Only what such a node
-- has given up is nobody's whose name begins with ~ (IN_MEMORY).
with gone as (
    delete from websocket_heartbeat.node where name = $1::text
)
update websocket_heartbeat.session set
    deadline = coalesce(deadline, $2::double precision),
    node = case when node like '~%' then node else '' end
where node = $1::text and end_kind is null
