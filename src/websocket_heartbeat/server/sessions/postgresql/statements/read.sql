-- Returns messages of a room after a number, and the number of the last one.
with posts as materialized (
    select number, data from websocket_heartbeat.post
    where room = $1::bytea and number > $2::bigint order by number limit $3::bigint
)
select
    (select last from websocket_heartbeat.room where name = $1::bytea),
    array(select number from posts order by number),
    array(select data from posts order by number)
