-- Adds messages to a room's stream, unless they are there already. The room is locked until that is committed, so
-- that its messages become visible in the order of their numbers.
with new as (
    insert into websocket_heartbeat.sender
    select $1::bytea, $2::text, $3::bigint, extract(epoch from clock_timestamp())
    where cardinality($4::bytea[]) > 0
    on conflict (room, name) do update set number = excluded.number, used = excluded.used
    where sender.number < excluded.number
    returning cardinality($4::bytea[]) as count
), moved as (
    insert into websocket_heartbeat.room
    select
        $1::bytea, $5::text,
        (extract(epoch from clock_timestamp()) * 1000000)::bigint + coalesce((select count from new), 0),
        extract(epoch from clock_timestamp())
    on conflict (name) do update set
        lineage = excluded.lineage,
        last = case room.lineage
            when excluded.lineage then room.last + coalesce((select count from new), 0)
            else greatest(excluded.last, room.last + 1 + coalesce((select count from new), 0)) end,
        used = excluded.used
    returning last
), added as (
    insert into websocket_heartbeat.post
    select $1::bytea, last - count + place, data
    from unnest($4::bytea[]) with ordinality as posts (data, place), new, moved
), forgotten as (
    delete from websocket_heartbeat.post using new, moved where room = $1::bytea and number <= last - $6::bigint
)
select last from moved
