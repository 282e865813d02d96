-- Writes a whole session, never over a newer generation or one that is over.
-- KEYS: session, log. ARGV: generation, keep, how many fields and values, those, messages
local session, log = KEYS[1], KEYS[2]
local known = redis.call('HMGET', session, 'generation', 'end_kind')
if known[2] then return 'gone' end
if known[1] and tonumber(known[1]) > tonumber(ARGV[1]) then return 'fenced' end
redis.call('DEL', session, log)
local first = 4 + tonumber(ARGV[3])
redis.call('HSET', session, 'lineage', lineage(), unpack(ARGV, 4, first - 1))
for place = first, #ARGV do redis.call('RPUSH', log, ARGV[place]) end
redis.call('PEXPIRE', session, ARGV[2])
redis.call('PEXPIRE', log, ARGV[2])
return 'ok'
