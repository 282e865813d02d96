-- Returns messages of a room after a number, and the number of the last one.
-- KEYS: room, stream. ARGV: number, limit
local last = redis.call('HGET', KEYS[1], 'last')
if not last then return { ARGV[1], {} } end
return { last, redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2]) }
