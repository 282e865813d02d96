-- Returns what the client of a session has not acknowledged.
select data from websocket_heartbeat.message where id = $1::text and number > $2::bigint and number <= $3::bigint
order by number
