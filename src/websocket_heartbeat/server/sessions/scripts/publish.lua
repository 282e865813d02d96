-- Adds messages to a room's stream, unless they are there already, and tells the nodes that follow it.
-- KEYS: room, stream, sender. ARGV: number, keep, how many to keep, channel, messages
local room, stream, sender = KEYS[1], KEYS[2], KEYS[3]
local known, ours = redis.call('HMGET', room, 'last', 'lineage'), lineage()
local last, count = tonumber(known[1] or 0), #ARGV - 4
if known[2] ~= ours then
    local now = redis.call('TIME')
    last = math.max(last + 1, now[1] * 1000000 + now[2])
end
local before = count > 0 and redis.call('GET', sender) or '0'
local is_new = tonumber(before) < tonumber(ARGV[1])
local number = string.format('%.0f', is_new and last + count or last)
redis.call('HSET', room, 'last', number, 'lineage', ours)
redis.call('PEXPIRE', room, ARGV[2])
if count > 0 then
    if is_new then
        -- What a script has done before an error stays. So numbers are used up first, and the sender's is given back.
        redis.call('SET', sender, ARGV[1], 'PX', ARGV[2])
        for place = 5, #ARGV do
            last = last + 1
            local added = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[3], string.format('%.0f-0', last), 'p', ARGV[place])
            if type(added) == 'table' then
                redis.call('SET', sender, before, 'PX', ARGV[2])
                return added
            end
        end
    end
    redis.call('PEXPIRE', stream, ARGV[2])
    redis.call('PUBLISH', ARGV[4], '') -- also of what is repeated: it may have failed at this
end
return number
