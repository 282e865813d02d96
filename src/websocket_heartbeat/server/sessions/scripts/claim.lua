-- Makes a node the owner: docs/session.md, 4.3, steps 1 to 6 and 8. hash: '': the application asks, and no link.
-- name: of this call. redis-py makes one again whose answer was lost: then it has been done, and the answer is the same, unless
-- another node has had the session since. It repeats the whole pipeline, where a claim of the application may follow that of
-- a link: so the last claim of each is kept apart.
-- KEYS: session, log. ARGV: hash, principal, link, node, generation to take it from by force, lease, keep, name
local session, log = KEYS[1], KEYS[2]
local names = { 'hash', 'principal', 'lineage', 'end_kind', 'end_why', 'done', 'link', 'node', 'generation' }
local hash, principal, written, kind, why, done, link, node, generation = unpack(redis.call('HMGET', session, unpack(names)))
local is_link = ARGV[1] ~= ''
if not hash or (is_link and (hash ~= ARGV[1] or principal ~= ARGV[2])) then return { 'unknown' } end
if written ~= lineage() then return { 'forgotten' } end
if kind then return { 'ended', kind, why, done } end
local of = is_link and 'link_' or ''
local claim, was = unpack(redis.call('HMGET', session, of .. 'claim', of .. 'was'))
if claim ~= ARGV[8] or node ~= ARGV[4] then
    if is_link and tonumber(ARGV[3]) <= tonumber(link) then return { 'stale' } end
    if node ~= '' and node ~= ARGV[4] and generation ~= ARGV[5] then return { 'held', node, generation } end
    was = node
    redis.call('HSET', session, 'node', ARGV[4], 'generation', tonumber(generation) + 1, 'lease', ARGV[6], of .. 'claim', ARGV[8], of .. 'was', was)
    if is_link then
        redis.call('HSET', session, 'link', ARGV[3])
        redis.call('HDEL', session, 'deadline')
    end
end
redis.call('PEXPIRE', session, ARGV[7])
redis.call('PEXPIRE', log, ARGV[7])
return { 'found', redis.call('HGETALL', session), redis.call('LRANGE', log, 0, -1), was }
