-- Sends something to a node, if it holds its lock: $1, null for all nodes. The server sends no payload twice.
with heard as (
    select $1::bigint is null or not pg_try_advisory_xact_lock_shared($1) as is_heard
)
select is_heard, case when is_heard then (select count(pg_notify($2::text, part)) from unnest($3::text[]) as part) end
from heard
