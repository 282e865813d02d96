-- Leaves a tombstone of a session whose end is told.
-- KEYS: session, log. ARGV: keep, forget at
local session, log = KEYS[1], KEYS[2]
if not redis.call('HGET', session, 'tell_at') then return 0 end
redis.call('HSET', session, 'forget_at', ARGV[2])
redis.call('HDEL', session, 'state', 'ending', 'deadline', 'tell_at')
redis.call('PEXPIRE', session, ARGV[1])
redis.call('DEL', log)
return 1
