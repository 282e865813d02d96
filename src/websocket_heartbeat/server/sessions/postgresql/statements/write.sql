-- Notes what was handled and acknowledged, and adds messages to the log: all of it or nothing.
-- A message may be there that the record does not know, of an owner whose record was written over.
with written as (
    update websocket_heartbeat.session set
        done = greatest(done, $5::bigint),
        sent = case cardinality($4::bytea[]) when 0 then sent else $3::bigint + cardinality($4::bytea[]) end,
        acked = greatest(acked, least($6::bigint, sent)),
        deadline = $7::double precision,
        state = coalesce($8::bytea, state),
        ending = coalesce($9::bytea, ending),
        rooms = case when $10::jsonb is null then rooms else jsonb_strip_nulls(rooms || $10::jsonb) end
    where id = $1::text and generation = $2::bigint and node = $11::text and end_kind is null and (
        cardinality($4::bytea[]) = 0
        or sent = $3::bigint + cardinality($4::bytea[])
        or sent >= $3::bigint and sent < $3::bigint + cardinality($4::bytea[])
        and $3::bigint + cardinality($4::bytea[]) - greatest(acked, least($6::bigint, sent)) <= greatest(1, window_messages)
    )
    returning sent, acked
), forgotten as (
    delete from websocket_heartbeat.message using written where id = $1::text and number <= acked
), added as (
    insert into websocket_heartbeat.message
    select $1::text, $3::bigint + place, data
    from unnest($4::bytea[]) with ordinality as log (data, place), written
    where $3::bigint + place > acked
    on conflict (id, number) do update set data = excluded.data
)
select written.sent, known.generation, known.end_kind is not null, known.node, known.sent
from (select) as one left join written on true
left join websocket_heartbeat.session as known on known.id = $1::text
