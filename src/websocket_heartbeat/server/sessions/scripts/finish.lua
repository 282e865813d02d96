-- Leaves a tombstone of a session.
-- KEYS: session, log. ARGV: node, generation, kind, why, keep, forget at
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'generation', 'end_kind', 'node')
if not known[1] or known[2] then return 'gone' end
if known[1] ~= ARGV[2] or known[3] ~= ARGV[1] then return 'fenced' end
redis.call('HSET', session, 'end_kind', ARGV[3], 'end_why', ARGV[4], 'forget_at', ARGV[6])
redis.call('HDEL', session, 'state', 'ending', 'deadline')
redis.call('PEXPIRE', session, ARGV[5])
redis.call('DEL', log)
return 'ok'
