-- Keeps a session for its owner until a lease ends; or lets it expire at a deadline, where it has none.
-- KEYS: session, log. ARGV: node, lease, deadline, keep, node from now on
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'node', 'end_kind', 'deadline')
if known[1] ~= ARGV[1] or known[2] then return 0 end
redis.call('HSET', session, 'lease', ARGV[2], 'node', ARGV[5])
if ARGV[3] ~= '' and not known[3] then redis.call('HSET', session, 'deadline', ARGV[3]) end
redis.call('PEXPIRE', session, ARGV[4])
redis.call('PEXPIRE', log, ARGV[4])
return 1
