-- What changes with every restart and every promotion: after it, acknowledged writes may be forgotten.
local function lineage()
    local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
    return string.match(server, 'run_id:(%w+)') .. ' ' .. string.match(replication, 'master_replid:(%w+)')
end

-- Whether something was written under this lineage: a restart changes the second part of it too, and that is half the work.
local function is_written_here(written)
    -- With the name, as a replica that was promoted has that of before too: master_replid2.
    local wanted = 'master_replid:' .. string.match(written, ' (%w+)')
    return string.find(redis.call('INFO', 'replication'), wanted, 1, true) ~= nil
end
