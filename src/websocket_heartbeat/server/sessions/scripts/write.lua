-- Notes what was handled and acknowledged, and adds messages to the log, all of it or nothing. Not to what a server
-- has kept that may have forgotten writes: its owner must write that again first, and would write over this one.
-- KEYS: session, log. ARGV: node, generation, after, done, acked, deadline, has state, state, has ending, ending, keep,
-- how many fields of rooms and values, those (a value '': none), messages
local session, log = KEYS[1], KEYS[2]
local names = { 'generation', 'end_kind', 'sent', 'acked', 'done', 'window_messages', 'lineage', 'node' }
local known = redis.call('HMGET', session, unpack(names))
if not known[1] or known[2] then return 'gone' end
if known[1] ~= ARGV[2] or known[8] ~= ARGV[1] then return 'fenced' end
if not is_written_here(known[7]) then return 'forgotten' end
local sent, acked, count = tonumber(known[3]), tonumber(known[4]), #ARGV - 12 - tonumber(ARGV[12])
local after = tonumber(ARGV[3])
local acknowledged = math.max(acked, math.min(tonumber(ARGV[5]), sent))
if count > 0 and sent ~= after + count then
    if sent < after or sent > after + count then return 'gap' end
    if after + count - acknowledged > math.max(1, tonumber(known[6])) then return 'full' end
    for place = #ARGV - count + 1 + sent - after, #ARGV do redis.call('RPUSH', log, ARGV[place]) end
    sent = after + count
end
if acknowledged > acked then redis.call('LTRIM', log, acknowledged - acked, -1) end
redis.call('HSET', session, 'sent', sent, 'acked', acknowledged, 'done', math.max(tonumber(known[5]), tonumber(ARGV[4])))
if ARGV[6] == '' then redis.call('HDEL', session, 'deadline') else redis.call('HSET', session, 'deadline', ARGV[6]) end
if ARGV[7] == '1' then redis.call('HSET', session, 'state', ARGV[8]) end
if ARGV[9] == '1' then redis.call('HSET', session, 'ending', ARGV[10]) end
for place = 13, 12 + tonumber(ARGV[12]), 2 do
    if ARGV[place + 1] == '' then redis.call('HDEL', session, ARGV[place]) else redis.call('HSET', session, ARGV[place], ARGV[place + 1]) end
end
redis.call('PEXPIRE', session, ARGV[11])
redis.call('PEXPIRE', log, ARGV[11])
return sent
