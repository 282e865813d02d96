-- Ends a session that is past its deadline, or whose owner has let its lease end; or says when to look again.
-- KEYS: session, log. ARGV: now, keep, forget at
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'end_kind', 'deadline', 'lease', 'ending', 'forget_at')
local kind, deadline, lease, ending, forget_at = unpack(known)
if kind then
    if tonumber(forget_at) > tonumber(ARGV[1]) then return { 'later', forget_at } end
    redis.call('DEL', session)
    return { 'nothing' }
end
local due = deadline or lease
if not due then return { 'nothing' } end
if tonumber(due) > tonumber(ARGV[1]) then return { 'later', due } end
local found = { 'found', redis.call('HGETALL', session), redis.call('LRANGE', log, 0, -1) }
redis.call('HSET', session, 'end_kind', ending and 'over' or 'expired', 'end_why', ending or 'expired', 'forget_at', ARGV[3])
redis.call('HDEL', session, 'state', 'ending', 'deadline')
redis.call('PEXPIRE', session, ARGV[2])
redis.call('DEL', log)
return found
