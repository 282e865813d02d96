-- Leaves a tombstone of a session.
with buried as (
    update websocket_heartbeat.session
    set end_kind = $3::text, end_why = $4::bytea, forget_at = $5::double precision, deadline = null, state = ''
    where id = $1::text and generation = $2::bigint and node = $6::text and end_kind is null
    returning 1
), forgotten as (
    delete from websocket_heartbeat.message using buried where id = $1::text
)
select exists (select from buried), known.generation is null or known.end_kind is not null
from (select) as one left join websocket_heartbeat.session as known on known.id = $1::text
