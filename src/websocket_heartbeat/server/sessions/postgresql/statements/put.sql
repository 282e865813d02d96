-- Creates a session, or writes it again; never over a newer generation or one that is over.
-- Not over the same generation of another node either: it has claimed the session since the store has forgotten that
-- of this one, $19.
-- What its owner has handled and does not know to be committed stays handled.
with written as (
    insert into websocket_heartbeat.session values (
        $1::text, $2::bytea, $3::bytea, $4::bigint, $5::bigint, $6::text, $7::text, $8::bigint, $9::bigint,
        $10::bigint, $11::bigint, $12::bigint, $13::bigint, $14::bytea, $15::bytea, $16::double precision,
        $17::jsonb
    )
    on conflict (id) do update set
        hash = excluded.hash, principal = excluded.principal, generation = excluded.generation,
        link = excluded.link, node = excluded.node, lineage = excluded.lineage,
        window_messages = excluded.window_messages, window_size = excluded.window_size, max = excluded.max,
        done = case session.generation
            when excluded.generation then greatest(session.done, excluded.done) else excluded.done end,
        sent = excluded.sent, acked = excluded.acked, state = excluded.state, ending = excluded.ending,
        deadline = excluded.deadline, rooms = excluded.rooms
    where session.end_kind is null and (
        session.generation < excluded.generation
        or session.generation = excluded.generation
        and (session.lineage <> excluded.lineage or session.node in ('', $19::text))
    )
    returning 1
), forgotten as (
    delete from websocket_heartbeat.message using written where id = $1::text and (number <= $13::bigint or number > $12::bigint)
), added as (
    insert into websocket_heartbeat.message
    select $1::text, $13::bigint + place, data from unnest($18::bytea[]) with ordinality as log (data, place), written
    on conflict (id, number) do update set data = excluded.data
)
select exists (select from written), known.end_kind is not null
from (select) as one left join websocket_heartbeat.session as known on known.id = $1::text
