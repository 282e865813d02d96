-- Makes a node the owner: docs/session.md, 4.3, steps 1 to 6 and 8. $2, hash: null: the application asks, and no
-- link. Its log is read by the next statement: this one does not see what it has waited for.
with known as (
    select * from websocket_heartbeat.session where id = $1::text for update
), claimed as (
    update websocket_heartbeat.session set
        node = $5::text,
        generation = session.generation + 1,
        link = case when $2::bytea is null then session.link else $4::bigint end,
        deadline = case when $2::bytea is null then session.deadline end
    from known
    where session.id = $1::text and known.lineage = $7::text and known.end_kind is null
        and ($2::bytea is null or known.hash = $2::bytea and known.principal is not distinct from $3::bytea and known.link < $4::bigint)
        and (known.node in ($5::text, '') or known.generation = $6::bigint)
    returning session.generation, session.link, session.deadline
)
select
    known.*, claimed.generation is not null as is_claimed,
    claimed.generation as new_generation, claimed.link as new_link, claimed.deadline as new_deadline,
    $2::bytea is null or known.hash = $2::bytea and known.principal is not distinct from $3::bytea as is_theirs
from known left join claimed on true
