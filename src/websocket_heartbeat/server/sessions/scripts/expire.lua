-- Ends a session that is past its deadline, or whose owner has let its lease end; or says when to look again. What it
-- had is kept until its end is told, for who tells it again if it is not.
-- KEYS: session, log. ARGV: now, keep, when to tell again
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'end_kind', 'deadline', 'lease', 'ending', 'forget_at', 'tell_at')
local kind, deadline, lease, ending, forget_at, tell_at = unpack(known)
if forget_at then
    if tonumber(forget_at) > tonumber(ARGV[1]) then return { 'later', forget_at } end
    redis.call('DEL', session)
    return { 'nothing' }
end
local due = tell_at or deadline or lease
if not due then return { 'nothing' } end
if tonumber(due) > tonumber(ARGV[1]) then return { 'later', due } end
redis.call('HSET', session, 'end_kind', ending and 'over' or 'expired', 'end_why', ending or 'expired', 'tell_at', ARGV[3])
redis.call('PEXPIRE', session, ARGV[2])
redis.call('PEXPIRE', log, ARGV[2])
return { 'found', redis.call('HGETALL', session), redis.call('LRANGE', log, 0, -1) }
