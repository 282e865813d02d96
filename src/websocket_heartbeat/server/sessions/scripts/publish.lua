-- Adds messages to a room's stream, unless they are there already, and tells the nodes that follow it.
-- KEYS: room, stream, sender. ARGV: number, keep, how many to keep, channel, messages
local room, stream, sender = KEYS[1], KEYS[2], KEYS[3]
local known, ours = redis.call('HMGET', room, 'last', 'lineage'), lineage()
local last = tonumber(known[1] or 0)
if known[2] ~= ours then
    local now = redis.call('TIME')
    last = math.max(last + 1, now[1] * 1000000 + now[2])
end
if #ARGV > 4 and tonumber(redis.call('GET', sender) or 0) < tonumber(ARGV[1]) then
    for place = 5, #ARGV do
        last = last + 1
        redis.call('XADD', stream, 'MAXLEN', '~', ARGV[3], string.format('%.0f-0', last), 'p', ARGV[place])
    end
    redis.call('SET', sender, ARGV[1], 'PX', ARGV[2])
    redis.call('PEXPIRE', stream, ARGV[2])
    redis.call('PUBLISH', ARGV[4], '')
end
local number = string.format('%.0f', last)
redis.call('HSET', room, 'last', number, 'lineage', ours)
redis.call('PEXPIRE', room, ARGV[2])
return number
