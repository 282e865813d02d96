-- Writes a whole session, never over a newer generation or one that is over, nor over one that needs no repair.
-- KEYS: session, log. ARGV: generation, node, node that writes, keep, how many fields and values, those, messages
local session, log = KEYS[1], KEYS[2]
local generation, kind, written, node = unpack(redis.call('HMGET', session, 'generation', 'end_kind', 'lineage', 'node'))
if kind then return 'gone' end
if generation then
    -- A newer one of the same node is one that its owner has not heard of: a claim that was never answered.
    local is_same, known, ours = node == ARGV[2], tonumber(generation), tonumber(ARGV[1])
    if known > ours and not is_same then return 'fenced' end
    if known >= ours and written == lineage() then
        -- It needs no repair, and its owner may have written more to it since it has asked for this.
        if is_same then return 'ok' end
        -- Another node's of the same number: it has claimed the session since the store has forgotten our claim.
        if node ~= '' and node ~= ARGV[3] then return 'fenced' end
    end
end
redis.call('DEL', session, log)
local first = 6 + tonumber(ARGV[5])
redis.call('HSET', session, 'lineage', lineage())
-- One by one, as Lua's stack has no room for those of a session in thousands of rooms.
for place = 6, first - 1, 2 do redis.call('HSET', session, ARGV[place], ARGV[place + 1]) end
for place = first, #ARGV do redis.call('RPUSH', log, ARGV[place]) end
redis.call('PEXPIRE', session, ARGV[4])
redis.call('PEXPIRE', log, ARGV[4])
return 'ok'
