-- Writes a whole session, never over a newer generation or one that is over, nor over one that needs no repair.
-- KEYS: session, log. ARGV: generation, node, keep, how many fields and values, those, messages
local session, log = KEYS[1], KEYS[2]
local generation, kind, written, node = unpack(redis.call('HMGET', session, 'generation', 'end_kind', 'lineage', 'node'))
if kind then return 'gone' end
if generation then
    -- A newer one of the same node is one that its owner has not heard of: a claim that was never answered.
    local is_ours = node == ARGV[2]
    if tonumber(generation) > tonumber(ARGV[1]) and not is_ours then return 'fenced' end
    -- It needs no repair, and its owner may have written more to it since it has asked for this.
    if is_ours and tonumber(generation) >= tonumber(ARGV[1]) and written == lineage() then return 'ok' end
end
redis.call('DEL', session, log)
local first = 5 + tonumber(ARGV[4])
redis.call('HSET', session, 'lineage', lineage(), unpack(ARGV, 5, first - 1))
for place = first, #ARGV do redis.call('RPUSH', log, ARGV[place]) end
redis.call('PEXPIRE', session, ARGV[3])
redis.call('PEXPIRE', log, ARGV[3])
return 'ok'
