-- Ends sessions that are past their deadline. That is then when to tell of it again, if it is not told.
with late as (
    select id, deadline from websocket_heartbeat.session where deadline <= $1::double precision
    order by deadline limit $2::bigint for update skip locked
)
update websocket_heartbeat.session set
    end_kind = case when session.ending is null then 'expired' else 'over' end,
    end_why = coalesce(session.ending, 'expired'),
    deadline = $3::double precision
from late where session.id = late.id
returning session.*, late.deadline as was_due
