-- Leaves a tombstone of a session.
-- KEYS: session, log. ARGV: generation, kind, why, keep, forget at
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'generation', 'end_kind')
if not known[1] or known[2] then return 'gone' end
if known[1] ~= ARGV[1] then return 'fenced' end
redis.call('HSET', session, 'end_kind', ARGV[2], 'end_why', ARGV[3], 'forget_at', ARGV[5])
redis.call('HDEL', session, 'state', 'ending', 'deadline')
redis.call('PEXPIRE', session, ARGV[4])
redis.call('DEL', log)
return 'ok'
